/* SPDX-License-Identifier: Apache-2.0
 * A run allocates nothing, neither we nor the libraries we call. This program's malloc stands
 * before the C library's and counts, by who calls. */
#include "tests/model/places.h"

#include <dlfcn.h>
#include <stdatomic.h>

#include "model/model.h"
#include "tests/model/made_model.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

int main(void)
{
    puts("skipped: a sanitizer has the allocator");
    return 77;
}

#else

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

enum { MAX_CALLERS = 1 << 14 };
/* written by any thread while counting */
static atomic_bool counting;
static atomic_long freed, allocated;
static void *callers[MAX_CALLERS]; /* return addresses, the first so many */

static void *counted(void *p, void *caller)
{
    if (atomic_load(&counting)) {
        long i = atomic_fetch_add(&allocated, 1);
        if (i < MAX_CALLERS)
            callers[i] = caller;
    }
    return p;
}

void *malloc(size_t size)
{
    return counted(__libc_malloc(size), __builtin_return_address(0));
}

void *calloc(size_t n, size_t size)
{
    return counted(__libc_calloc(n, size), __builtin_return_address(0));
}

void *realloc(void *p, size_t size)
{
    if (p != NULL && atomic_load(&counting))
        atomic_fetch_add(&freed, 1);
    return counted(__libc_realloc(p, size), __builtin_return_address(0));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return counted(__libc_memalign(alignment, size), __builtin_return_address(0));
}

void *memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size)
{
    return counted(__libc_memalign(alignment, size), __builtin_return_address(0));
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    *ret = counted(__libc_memalign(alignment, size), __builtin_return_address(0));
    return *ret == NULL ? ENOMEM : 0;
}

void free(void *p)
{
    if (p != NULL && atomic_load(&counting))
        atomic_fetch_add(&freed, 1);
    __libc_free(p);
}

struct counts {
    long ours, library, freed;
};

/* operator new's malloc is called by libstdc++. */
static bool is_library(void *caller)
{
    static const char *const names[] = {"libdnnl.", "libstdc++.", "libgomp."};
    Dl_info info;
    if (dladdr(caller, &info) == 0)
        return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strstr(info.dli_fname, names[i]) != NULL)
            return true;
    return false;
}

static struct counts count_run(struct runner *runner, int batch)
{
    struct runner_result results[4];
    struct error error;
    atomic_store(&allocated, 0);
    atomic_store(&freed, 0);
    atomic_store(&counting, true);
    int r = runner_run(runner, batch, results, &error);
    atomic_store(&counting, false);
    if (r < 0)
        fail_msg("%s", error.text);
    struct counts c = {0, 0, atomic_load(&freed)};
    assert_true(atomic_load(&allocated) < MAX_CALLERS);
    for (long i = 0; i < atomic_load(&allocated); i++)
        *(is_library(callers[i]) ? &c.library : &c.ours) += 1;
    return c;
}

static void check_model(const char *path, enum interpreter interpreter)
{
    struct runner_config config = {.backend = "cpu", .threads = 2, .max_batch = 3};
    struct model *model;
    struct runner *runner;
    struct error error;
    if (model_open_with(&model, path, interpreter, &error) < 0 ||
        runner_create(&runner, model, &config, &error) < 0)
        fail_msg("%s", error.text);
    const struct model_info *info = model_info(model);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < info->image_rows * info->image_cols; k++)
            runner_input(runner, i)[k] = (float)(k % 97) / 97;
    for (int batch = 1; batch <= 3; batch++) {
        struct counts first = count_run(runner, batch); /* OpenMP starts its threads */
        struct counts second = count_run(runner, batch), third = count_run(runner, batch);
        print_message("batch %d: we allocate %ld times a run, the libraries %ld times\n", batch,
                      second.ours, second.library);
        assert_int_equal(first.ours, 0);
        assert_int_equal(second.ours, 0);
        assert_int_equal(third.ours, 0);
        assert_int_equal(second.library, 0);
        assert_int_equal(second.freed, 0);
        assert_int_equal(third.library, 0);
        assert_int_equal(third.freed, 0);
    }
    runner_destroy(runner);
    model_close(model);
}

static void a_run_of_the_shipped_model_allocates_nothing(void **state)
{
    (void)state;
    struct place place = in_source("tests/data/baseline");
    check_model(place.path, INTERPRETER_AUTO);
}

/* The other systems of the paper: attention, transposed convolutions, quantisation. */
static void a_run_of_vit_with_piq_allocates_nothing(void **state)
{
    struct error error;
    assert_int_equal(make_scratch(state), 0);
    if (made_model(in_scratch("vit").path, made_vit, 6, 24, &error) < 0)
        fail_msg("%s", error.text);
    check_model(in_scratch("vit").path, INTERPRETER_PIQ);
    assert_int_equal(remove_scratch(state), 0);
}

static void the_counter_sees_what_is_allocated(void **state)
{
    (void)state;
    atomic_store(&allocated, 0);
    atomic_store(&counting, true);
    void *volatile p = malloc(17);
    char *volatile copy = strdup("seventeen");
    atomic_store(&counting, false);
    free(p);
    free(copy);
    assert_int_equal(atomic_load(&allocated), 2);
    assert_false(is_library(callers[0]));
    assert_false(is_library(callers[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_counter_sees_what_is_allocated),
        cmocka_unit_test(a_run_of_vit_with_piq_allocates_nothing),
        cmocka_unit_test(a_run_of_the_shipped_model_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
