/* SPDX-License-Identifier: Apache-2.0
 * The networks against the published ones' numbers, on both backends. */
#include "tests/model/places.h"

#include "tests/model/golden.h"

struct tally {
    int lines, beyond;
};

static void count(void *user, const struct golden_line *line)
{
    struct tally *t = user;
    t->lines++;
    if (line->within)
        return;
    t->beyond++;
    print_error("%s: %g, limit %g %s\n", line->tensor, line->error, line->limit, line->what);
}

/* Every tensor of the file is within its limit, for values apart from each other in memory between
 * guards, and for values that share their places. */
static void check_file(golden_check *run, struct place place, const struct backend_ops *ops,
                       int least_lines)
{
    struct safetensors *file;
    struct error error;
    if (safetensors_open(&file, place.path, &error) < 0)
        fail_msg("%s", error.text);
    for (int isolate = 0; isolate < 2; isolate++) {
        /* the reference would take minutes to train PIQ; its gradients are those of differences */
        bool forward = run == golden_piq && ops == &backend_ref;
        struct golden_backend backend = {
            .ops = ops, .threads = 2, .isolate = isolate != 0, .forward = forward};
        struct tally tally = {0, 0};
        if (run(file, &backend, count, &tally, &error) < 0)
            fail_msg("%s", error.text);
        assert_int_equal(tally.beyond, 0);
        assert_true(tally.lines >= least_lines);
    }
    safetensors_close(file);
}

static void check(const char *name, const struct backend_ops *ops, int least_lines)
{
    check_file(golden_focalnet, golden(name), ops, least_lines);
}

static void the_reference_reproduces_the_tiny_network(void **state)
{
    (void)state;
    check("focalnet_tiny.safetensors", &backend_ref, 26);
}

static void the_cpu_reproduces_the_tiny_network(void **state)
{
    (void)state;
    check("focalnet_tiny.safetensors", &backend_cpu, 26);
}

static void the_reference_reproduces_all_options(void **state)
{
    (void)state;
    check("focalnet_options.safetensors", &backend_ref, 19);
}

static void the_cpu_reproduces_all_options(void **state)
{
    (void)state;
    check("focalnet_options.safetensors", &backend_cpu, 19);
}

static void the_cpu_reproduces_focalnet_base(void **state)
{
    (void)state;
    check("focalnet_base_hashed.safetensors", &backend_cpu, 25);
}

static void the_reference_reproduces_the_tiny_vit(void **state)
{
    (void)state;
    check_file(golden_vit, golden("vit_tiny.safetensors"), &backend_ref, 17);
}

static void the_cpu_reproduces_the_tiny_vit(void **state)
{
    (void)state;
    check_file(golden_vit, golden("vit_tiny.safetensors"), &backend_cpu, 17);
}

static void the_cpu_reproduces_vit_base(void **state)
{
    (void)state;
    check_file(golden_vit, golden("vit_base_hashed.safetensors"), &backend_cpu, 19);
}

static void the_reference_reproduces_piq(void **state)
{
    (void)state;
    check_file(golden_piq, golden("piq.safetensors"), &backend_ref, 11);
}

static void the_cpu_reproduces_piq(void **state)
{
    (void)state;
    check_file(golden_piq, golden("piq.safetensors"), &backend_cpu, 62);
}

static void the_reference_learns_as_the_published_code(void **state)
{
    (void)state;
    check_file(golden_train, golden("train_steps.safetensors"), &backend_ref, 121);
}

static void the_cpu_learns_as_the_published_code(void **state)
{
    (void)state;
    check_file(golden_train, golden("train_steps.safetensors"), &backend_cpu, 121);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_reproduces_the_tiny_network),
        cmocka_unit_test(the_cpu_reproduces_the_tiny_network),
        cmocka_unit_test(the_reference_reproduces_all_options),
        cmocka_unit_test(the_cpu_reproduces_all_options),
        cmocka_unit_test(the_cpu_reproduces_focalnet_base),
        cmocka_unit_test(the_reference_reproduces_the_tiny_vit),
        cmocka_unit_test(the_cpu_reproduces_the_tiny_vit),
        cmocka_unit_test(the_cpu_reproduces_vit_base),
        cmocka_unit_test(the_reference_reproduces_piq),
        cmocka_unit_test(the_cpu_reproduces_piq),
        cmocka_unit_test(the_reference_learns_as_the_published_code),
        cmocka_unit_test(the_cpu_learns_as_the_published_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
