/* SPDX-License-Identifier: Apache-2.0
 * Kernels that are right compute what CUDA would; each mistake is found and named. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fake_cuda/test_fake.h"

enum { N = 1000 };

static void every_thread_computes_its_cell(void **state)
{
    float x[N], y[N], got[N];
    for (int i = 0; i < N; i++) {
        x[i] = (float)i;
        y[i] = 1;
    }
    float *dx = on_device(x, sizeof x), *dy = on_device(y, sizeof y);
    ok(run_axpy(dy, dx, 2, N, NULL));
    ok(cudaMemcpy(got, dy, sizeof got, cudaMemcpyDeviceToHost));
    for (int i = 0; i < N; i++)
        assert_true(got[i] == 2 * x[i] + 1);
}

static void indices_have_three_dimensions(void **state)
{
    enum { BLOCKS = 3 * 2 * 2, CELLS = BLOCKS * 1024 };
    uint32_t *x = malloc(CELLS * sizeof *x), *got = malloc(CELLS * sizeof *x);
    for (uint32_t i = 0; i < CELLS; i++)
        x[i] = i;
    uint32_t *dx = on_device(x, CELLS * sizeof *x), *dy = on_device(NULL, CELLS * sizeof *x);
    dim3 grid = {3, 2, 2};
    ok(run_reverse(dy, dx, grid, NULL));
    ok(cudaMemcpy(got, dy, CELLS * sizeof *x, cudaMemcpyDeviceToHost));
    for (uint32_t i = 0; i < CELLS; i++)
        assert_int_equal(got[i], i / 1024 * 1024 + (1023 - i % 1024));
    free(x);
    free(got);
}

static void threads_meet_at_barriers_and_shuffles(void **state)
{
    enum { ROWS = 5, COLS = 1000 };
    float x[ROWS * COLS], got[ROWS];
    for (int i = 0; i < ROWS * COLS; i++)
        x[i] = (float)(i * 31 % 17);
    float *dx = on_device(x, sizeof x), *dy = on_device(NULL, sizeof got);
    for (unsigned threads = 32; threads <= 1024; threads *= 2) {
        ok(run_row_sums(dy, dx, ROWS, COLS, threads, NULL));
        ok(cudaMemcpy(got, dy, sizeof got, cudaMemcpyDeviceToHost));
        for (int row = 0; row < ROWS; row++) {
            float sum = 0;
            for (int i = 0; i < COLS; i++)
                sum += x[row * COLS + i];
            assert_true(got[row] == sum); /* whole numbers: no rounding */
        }
    }
}

/* The lane whose value NVIDIA's guide says that a lane gets; kinds as run_shuffle has them. */
static int documented_source(int kind, int lane, int argument, int width)
{
    int group = lane / width, within = lane % width;
    switch (kind) {
    case 0:
        return group * width + argument % width;
    case 1:
        return within - argument < 0 ? lane : lane - argument;
    case 2:
        return within + argument >= width ? lane : lane + argument;
    default:
        return (lane ^ argument) / width > group ? lane : lane ^ argument;
    }
}

static void shuffles_give_the_lane_that_is_documented(void **state)
{
    int got[32];
    int *y = on_device(NULL, sizeof got);
    for (int kind = 0; kind < 4; kind++) {
        for (int width = 1; width <= 32; width *= 2) {
            for (int argument = 0; argument < 32; argument++) {
                ok(run_shuffle(y, kind, 0xffffffffu, argument, width, 32, NULL));
                ok(cudaMemcpy(got, y, sizeof got, cudaMemcpyDeviceToHost));
                for (int lane = 0; lane < 32; lane++)
                    assert_int_equal(got[lane], documented_source(kind, lane, argument, width));
            }
        }
    }
    ok(run_shuffle(y, 4, 0xffffffffu, 5, 32, 32, NULL));
    ok(cudaMemcpy(got, y, sizeof got, cudaMemcpyDeviceToHost));
    assert_int_equal(got[7], 1 << 0 | 1 << 5 | 1 << 10 | 1 << 15 | 1 << 20 | 1 << 25 | 1 << 30);
}

static void lanes_outside_the_mask_are_not_waited_for(void **state)
{
    int got[16];
    int *y = on_device(NULL, sizeof got);
    ok(run_shuffle(y, 3, 0x0000ffffu, 1, 32, 32, NULL));
    ok(cudaMemcpy(got, y, sizeof got, cudaMemcpyDeviceToHost));
    for (int lane = 0; lane < 16; lane++)
        assert_int_equal(got[lane], lane ^ 1);
}

static void blocks_beyond_the_limits_are_refused_at_once(void **state)
{
    static const struct {
        dim3 grid, block;
        cudaError_t code;
    } cases[] = {
        {{1, 1, 1}, {1024, 1, 1}, cudaSuccess},
        {{1, 1, 1}, {1025, 1, 1}, cudaErrorInvalidConfiguration},
        {{1, 1, 1}, {32, 33, 1}, cudaErrorInvalidConfiguration},
        {{1, 1, 1}, {1, 1, 65}, cudaErrorInvalidConfiguration},
        {{1, 1, 1}, {0, 1, 1}, cudaErrorInvalidConfiguration},
        {{0, 1, 1}, {32, 1, 1}, cudaErrorInvalidConfiguration},
        {{1, 65535, 1}, {1, 1, 1}, cudaSuccess},
        {{1, 65536, 1}, {1, 1, 1}, cudaErrorInvalidConfiguration},
        {{1, 1, 65536}, {1, 1, 1}, cudaErrorInvalidConfiguration},
        {{0x80000000u, 1, 1}, {1, 1, 1}, cudaErrorInvalidConfiguration},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(run_shape(cases[i].grid, cases[i].block, NULL), cases[i].code);
        assert_int_equal(cudaGetLastError(), cases[i].code);
        assert_int_equal(cudaGetLastError(), cudaSuccess);
    }
    ok(cudaDeviceSynchronize());
}

/* The work that is enqueued is found wrong, with that code and all these words. */
static void found(cudaError_t code, const char *const *words)
{
    assert_int_equal(cudaDeviceSynchronize(), code);
    for (; *words; words++)
        if (!strstr(fake_last_report(), *words))
            fail_msg("\"%s\" is not in: %s", *words, fake_last_report());
    assert_int_equal(cudaStreamSynchronize(NULL), code); /* it stays */
    restart(NULL);
}
#define found(code, ...) found(code, (const char *const[]){__VA_ARGS__, NULL})

static void one_cell_too_many_is_found(void **state)
{
    need_checks();
    float x[N + 1] = {0};
    float *dx = on_device(x, sizeof x), *dy = on_device(x, sizeof x - sizeof *x);
    ok(run_axpy(dy, dx, 2, N, NULL));
    ok(cudaDeviceSynchronize());
    ok(run_axpy(dy, dx, 2, N + 1, NULL));
    found(cudaErrorIllegalAddress, "axpy", "block (3,0,0) thread (232,0,0)", "4 bytes at",
          "0 bytes behind the 4000 bytes of allocation 2");
}

static void sixteen_bytes_that_reach_outside_are_found(void **state)
{
    need_checks();
    float x[64] = {0};
    char *from = on_device(x, sizeof x), *to = on_device(NULL, sizeof x - 8);
    ok(run_copy16(to, from, sizeof x, NULL));
    found(cudaErrorIllegalAddress, "copy16", "thread (15,0,0): writes 16 bytes",
          "behind the 248 bytes of allocation 2");
}

static void a_cell_that_nothing_wrote_is_found(void **state)
{
    need_checks();
    float x[N] = {0};
    float *dx = on_device(x, sizeof x), *dy = on_device(NULL, sizeof x);
    ok(cudaMemset(dy, 0, 999 * sizeof *x));
    ok(run_axpy(dy, dx, 2, 999, NULL));
    ok(cudaDeviceSynchronize());
    ok(run_axpy(dy, dx, 2, N, NULL));
    found(cudaErrorIllegalAddress, "thread (231,0,0): reads 4 bytes",
          "byte 3996 of the 4000 bytes of allocation 2", "nothing wrote");
}

static void a_host_pointer_in_a_kernel_is_found(void **state)
{
    need_checks();
    static float y[N];
    float *dx = on_device(y, sizeof y), *heap = malloc(sizeof y), *pinned;
    ok(run_axpy(heap, dx, 2, N, NULL));
    found(cudaErrorIllegalAddress, "axpy", "thread (0,0,0)", "memory of the host");
    dx = on_device(y, sizeof y);
    ok(cudaMallocHost((void **)&pinned, sizeof y));
    ok(run_axpy(dx, pinned, 2, N, NULL));
    found(cudaErrorIllegalAddress, "pinned memory of the host");
    dx = on_device(y, sizeof y);
    ok(run_axpy(NULL, dx, 2, N, NULL));
    found(cudaErrorIllegalAddress, "NULL");
    free(heap);
}

static void freed_memory_is_found(void **state)
{
    need_checks();
    float x[N] = {0};
    float *dx = on_device(x, sizeof x), *dy = on_device(x, sizeof x);
    ok(run_axpy(dy, dx, 2, N, NULL));
    ok(cudaFree(dx)); /* waits for the kernel */
    ok(run_axpy(dy, dx, 2, N, NULL));
    found(cudaErrorIllegalAddress, "allocation 1", "which was freed");
}

static void a_misaligned_access_is_found(void **state)
{
    need_checks();
    float x[64] = {0};
    char *from = on_device(x, sizeof x), *to = on_device(NULL, sizeof x);
    ok(run_copy16(to, from + 4, 128, NULL));
    found(cudaErrorMisalignedAddress, "copy16", "thread (0,0,0)", "misaligned");
}

static void a_misaligned_vector_is_found_where_it_is_read_by_component(void **state)
{
    need_checks();
    float x[20] = {0};
    float *from = on_device(x, sizeof x), *to = on_device(NULL, sizeof x);
    ok(run_sum4(to, from, NULL));
    ok(cudaDeviceSynchronize());
    ok(run_sum4(to, from + 1, NULL));
    found(cudaErrorMisalignedAddress, "sum4", "thread (0,0,0)", "misaligned", "test_kernels.cu:");
}

static void an_index_behind_a_shared_array_is_found(void **state)
{
    need_checks();
    ok(run_mistake(SHARED_INDEX, on_device(NULL, 64 * sizeof(float)), NULL));
    found(cudaErrorIllegalAddress, "mistaken", "thread (63,0,0)", "index 64", "[64]",
          "test_kernels.cu:");
}

static void wrong_use_of_barriers_and_shuffles_is_found(void **state)
{
    static const struct {
        enum mistake mistake;
        const char *words[3];
    } cases[] = {
        {WAITS_ON_HALF,
         {"mistaken", "block (0,0,0) thread (0,0,0) and 31 others",
          "__syncthreads, where 32 threads never arrive"}},
        {LEAVES_EARLY, {"mistaken", "62 others wait at __syncthreads", "1 threads never arrive"}},
        {LANE_MISSING,
         {"mistaken", "waits at __shfl_sync of lanes ffffffff", "lanes 00000008 never arrive"}},
        {MASK_WITHOUT, {"mistaken", "__shfl_sync of lanes fffffffe", "but is lane 0"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ok(run_mistake(cases[i].mistake, on_device(NULL, 64 * sizeof(float)), NULL));
        found(cudaErrorLaunchFailure, cases[i].words[0], cases[i].words[1], cases[i].words[2]);
    }
}

static void a_lane_that_is_not_there_cannot_be_read(void **state)
{
    int *y = on_device(NULL, 32 * sizeof *y);
    ok(run_shuffle(y, 0, 0x0000ffffu, 20, 32, 32, NULL)); /* lane 20 is not in the mask */
    found(cudaErrorLaunchFailure, "reads lane 20");
    y = on_device(NULL, 32 * sizeof *y);
    ok(run_shuffle(y, 3, 0xffffffffu, 16, 32, 24, NULL)); /* a partial warp: lanes 24… are not */
    found(cudaErrorLaunchFailure, "reads lane 24", "00ffffff");
}

static void races_in_shared_memory_are_found(void **state)
{
    static const struct {
        enum mistake mistake;
        const char *word;
    } cases[] = {
        {SHARED_RACE, "thread (1,0,0): reads shared memory that thread 0 wrote"},
        {SHARED_WRITES, "writes shared memory that thread 0 wrote"},
        {SHARED_READ_THEN_WRITE, "writes shared memory that thread 63 read"},
        {SHARED_UNWRITTEN, "no thread of the block wrote"},
        {WARP_BARRIER_ONLY, "thread (32,0,0): reads shared memory that thread 31 wrote"},
    };
    need_checks();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ok(run_mistake(cases[i].mistake, on_device(NULL, 64 * sizeof(float)), NULL));
        found(cudaErrorLaunchFailure, "mistaken", cases[i].word);
    }
}

static void barriers_make_shared_memory_right(void **state)
{
    float got[64], *y = on_device(NULL, sizeof got);
    ok(run_mistake(NO_MISTAKE, y, NULL));
    ok(cudaMemcpy(got, y, sizeof got, cudaMemcpyDeviceToHost));
    for (int i = 0; i < 64; i++)
        assert_true(got[i] == (float)((i + 1) % 64));
    ok(run_mistake(WARP_BARRIER, y, NULL));
    ok(cudaMemcpy(got, y, sizeof got, cudaMemcpyDeviceToHost));
    for (int i = 0; i < 64; i++)
        assert_true(got[i] == (float)(i ^ 1));
}

static void after_a_mistake_others_still_run(void **state)
{
    for (int i = 0; i < 3; i++) {
        ok(run_mistake(WAITS_ON_HALF, on_device(NULL, 64 * sizeof(float)), NULL));
        found(cudaErrorLaunchFailure, "mistaken");
        barriers_make_shared_memory_right(state);
    }
}

static void host_code_that_touches_the_device_is_named(void **state)
{
    float x[N] = {0};
    float *dx = on_device(x, sizeof x);
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], 2);
        signal(SIGSEGV, SIG_DFL); /* cmocka's would go on */
        on_device(NULL, 4);       /* and the stand-in's is set again */
        *(volatile float *)(dx + 3) = 1;
        _exit(0);
    }
    close(ends[1]);
    char line[4096] = "";
    size_t n = 0;
    for (ssize_t got;
         n < sizeof line - 1 && (got = read(ends[0], line + n, sizeof line - 1 - n)) > 0;)
        n += (size_t)got;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0); /* ASan exits */
    if (!strstr(line, "host code touched device memory") ||
        !strstr(line, "byte 12 of the 4000 bytes of allocation 1"))
        fail_msg("it says: %s", line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(every_thread_computes_its_cell),
        test(indices_have_three_dimensions),
        test(threads_meet_at_barriers_and_shuffles),
        test(shuffles_give_the_lane_that_is_documented),
        test(lanes_outside_the_mask_are_not_waited_for),
        test(blocks_beyond_the_limits_are_refused_at_once),
        test(one_cell_too_many_is_found),
        test(sixteen_bytes_that_reach_outside_are_found),
        test(a_cell_that_nothing_wrote_is_found),
        test(a_host_pointer_in_a_kernel_is_found),
        test(freed_memory_is_found),
        test(a_misaligned_access_is_found),
        test(a_misaligned_vector_is_found_where_it_is_read_by_component),
        test(an_index_behind_a_shared_array_is_found),
        test(wrong_use_of_barriers_and_shuffles_is_found),
        test(a_lane_that_is_not_there_cannot_be_read),
        test(races_in_shared_memory_are_found),
        test(barriers_make_shared_memory_right),
        test(after_a_mistake_others_still_run),
        test(host_code_that_touches_the_device_is_named),
    };
    return cmocka_run_group_tests_name("fake_kernels", tests, NULL, NULL);
}
