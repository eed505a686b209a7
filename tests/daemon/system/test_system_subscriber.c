/* SPDX-License-Identifier: Apache-2.0
 * A subscriber that stops reading for 30 s neither delays labels to others nor grows the daemon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "tests/daemon/system/focald_process.h"

enum { STALL_S = 30, SETTLE_S = 10 };

/* Subscribes to everything and reads nothing: as many messages are kept as the transport holds. */
static void *stalled_subscriber(void *context, const char *endpoint)
{
    void *socket = zmq_socket(context, ZMQ_SUB);
    int hwm = 1, linger = 0;
    assert_non_null(socket);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &hwm, sizeof hwm);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0);
    assert_int_equal(zmq_connect(socket, endpoint), 0);
    return socket;
}

static void a_stalled_subscriber_is_nobody_elses_trouble(void **state)
{
    (void)state;
    struct focald_process focald;
    char config[1024];
    snprintf(config, sizeof config,
             "[stream demo]\nsource = file:%s\nloop = yes\n[ipc]\nsend_hwm = 32\n", demo_dir());
    focald_start(&focald, config);
    struct focal *reader = focald_client(&focald, "label/");
    struct focal_message m;
    assert_int_equal(focal_next(reader, &m, 15000), 1);
    void *context = zmq_ctx_new();
    void *stalled = stalled_subscriber(context, focald.data);

    double start = seconds_now(), last = start, longest = 0;
    size_t settled = 0;
    uint64_t labels = 0, lost = 0;
    while (seconds_now() - start < STALL_S) {
        assert_int_equal(focal_next(reader, &m, 5000), 1);
        double now = seconds_now();
        longest = now - last > longest ? now - last : longest;
        last = now;
        labels++;
        lost += m.lost;
        if (settled == 0 && now - start > SETTLE_S)
            settled = focald_resident(&focald);
    }
    size_t grown = focald_resident(&focald);
    printf(
        "%llu labels, %llu lost, longest wait %.2f s; resident %.1f MB after %d s, %.1f MB after "
        "%d s\n",
        (unsigned long long)labels, (unsigned long long)lost, longest, (double)settled * 1e-6,
        SETTLE_S, (double)grown * 1e-6, STALL_S);
    assert_int_equal(lost, 0);
    assert_true(labels >= STALL_S * 2 - 4);
    assert_true(longest < 1.5);             /* the hop is 0.5 s */
    if (getenv("FOCALD_SANITIZED") == NULL) /* a sanitizer keeps freed memory for a while */
        assert_true(grown < settled + 2000000);
    assert_true(focald_status(&focald, "dropped_messages") == 0);

    zmq_close(stalled);
    zmq_ctx_term(context);
    focal_close(reader);
    assert_int_equal(focald_stop(&focald, NULL), 0);
    focald_clean(&focald);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stalled_subscriber_is_nobody_elses_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
