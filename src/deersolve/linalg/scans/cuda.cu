// y_t = A_t y_{t-1} + b_t for t = 0, ..., T - 1 with A_0 = 0, cut into chunks.
//
// R and N, the type and the size of a state, are defined before this text. b and y have the shape (batch, T, side, N), A
// has (batch or 1, T - 1, side, N, N): `side` recurrences lie side by side. No array of a thread is indexed by a
// variable, so all of them stay in registers.

// Run over the steps [first, last) from the state v; `scale` is 0 or 1, and a state is written unless `y` is null.
__device__ void run(const R* A, const R* b, R* y, R* v, R scale, int first, int last, int side) {
    for (int t = first; t < last; ++t) {
        const long long at = (long long)t * side;
        R w[N];
        #pragma unroll
        for (int i = 0; i < N; ++i) w[i] = scale * b[at * N + i];
        if (t > 0) {
            const R* row = A + (at - side) * N * N;
            #pragma unroll
            for (int i = 0; i < N; ++i) {
                #pragma unroll
                for (int k = 0; k < N; ++k) w[i] += row[i * N + k] * v[k];
            }
        }
        #pragma unroll
        for (int i = 0; i < N; ++i) {
            v[i] = w[i];
            if (y) y[at * N + i] = w[i];
        }
    }
}

// The recurrence of the chunks' last states, s_c = P_c s_{c-1} + q_c. A thread has one column of [P_c, q_c]:
// column j < N starts at the unit vector j and takes no b, column N starts at 0.
extern "C" __global__ void reduce(
    const R* A, const R* b, R* P, R* q, int T, int chunk, int chunks, int side, int batches, int shared_A) {
    const long long id = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const int column = id % (N + 1);
    const long long group = id / (N + 1);
    const int s = group % side, c = group / side % chunks;
    const long long batch = group / side / chunks;
    const bool is_matrix = column < N;
    if (batch >= batches || (c == 0 && is_matrix)) return;

    R v[N];
    #pragma unroll
    for (int i = 0; i < N; ++i) v[i] = i == column;
    const int first = c * chunk, last = first + chunk < T ? first + chunk : T;
    const R* own_A = A + ((shared_A ? 0 : batch) * (T - 1) * side + s) * N * N;
    run(own_A, b + (batch * T * side + s) * N, 0, v, is_matrix ? 0 : 1, first, last, side);

    R* to = is_matrix ? P + ((batch * (chunks - 1) + c - 1) * side + s) * N * N + column
                      : q + ((batch * chunks + c) * side + s) * N;
    #pragma unroll
    for (int i = 0; i < N; ++i) to[i * (is_matrix ? N : 1)] = v[i];
}

// y at every point; a thread has one chunk, and starts from the last state of the chunk before it.
extern "C" __global__ void apply(
    const R* A, const R* b, const R* states, R* y, int T, int chunk, int chunks, int side, int batches, int shared_A) {
    const long long id = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const int s = id % side, c = id / side % chunks;
    const long long batch = id / side / chunks;
    if (batch >= batches) return;

    R v[N];
    #pragma unroll
    for (int i = 0; i < N; ++i) v[i] = c ? states[((batch * chunks + c - 1) * side + s) * N + i] : 0;
    const int first = c * chunk, last = first + chunk < T ? first + chunk : T;
    const long long own = batch * T * side + s;
    run(A + ((shared_A ? 0 : batch) * (T - 1) * side + s) * N * N, b + own * N, y + own * N, v, 1, first, last, side);
}
