/* SPDX-License-Identifier: Apache-2.0
 * The parts of focal-web that decide alone: who comes in, what is left out for a slow browser,
 * which bytes are meant, what settings are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>

#include "viewers/web/gate.h"
#include "viewers/web/guests.h"
#include "viewers/web/password.h"
#include "viewers/web/query.h"
#include "viewers/web/queue.h"
#include "viewers/web/range.h"
#include "viewers/web/settings.h"

static void a_range_is_what_rfc_9110_says(void **state)
{
    static const struct {
        const char *header;
        enum range_verdict verdict;
        int64_t from, bytes;
    } cases[] = {
        {"bytes=0-9", RANGE_PART, 0, 10},
        {"bytes=90-", RANGE_PART, 90, 10},
        {"bytes=-5", RANGE_PART, 95, 5},
        {"bytes=-500", RANGE_PART, 0, 100},
        {"bytes=99-1000", RANGE_PART, 99, 1},
        {"bytes=100-", RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-0", RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=5-4", RANGE_WHOLE, 0, 0},
        {"bytes=0-1,5-6", RANGE_WHOLE, 0, 0},
        {"items=0-1", RANGE_WHOLE, 0, 0},
        {"bytes=", RANGE_WHOLE, 0, 0},
        {"bytes=-", RANGE_WHOLE, 0, 0},
        {"bytes=a-b", RANGE_WHOLE, 0, 0},
        {"", RANGE_WHOLE, 0, 0},
        {"bytes=0-99999999999999999999", RANGE_WHOLE, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t from = -1, bytes = -1;
        assert_int_equal(range_parse(cases[i].header, 100, &from, &bytes), cases[i].verdict);
        if (cases[i].verdict == RANGE_PART) {
            assert_int_equal(from, cases[i].from);
            assert_int_equal(bytes, cases[i].bytes);
        }
    }
}

static void a_query_is_decoded_and_bounded(void **state)
{
    char text[16];
    int64_t number = 7;
    double real = 0.5;
    const char *query = "text=crying+b%c3%a4by&n=12&p=0.25&bad=1x&nul=a%00b&half=%4";
    assert_true(query_text(query, "text", text, sizeof text));
    assert_string_equal(text, "crying b\xc3\xa4"
                              "by");
    assert_false(query_text(query, "text", text, 4));
    assert_false(query_text(query, "ext", text, sizeof text));
    assert_false(query_text(query, "nul", text, sizeof text));
    assert_false(query_text(query, "half", text, sizeof text));
    assert_true(query_integer(query, "n", 0, 12, &number) && number == 12);
    assert_false(query_integer(query, "n", 0, 11, &number));
    assert_false(query_integer(query, "bad", 0, 100, &number));
    assert_true(query_integer(query, "absent", 0, 1, &number) && number == 12);
    assert_true(query_number(query, "p", 0, 1, &real) && real == 0.25);
    assert_false(query_number(query, "p", 0.5, 1, &real));
}

static struct packet *packet(enum packet_kind kind)
{
    struct packet *p = packet_create(kind, "{}", 8, NULL);
    assert_non_null(p);
    return p;
}

static void push(struct queue *q, enum packet_kind kind, int64_t now_us)
{
    struct packet *p = packet(kind);
    queue_push(q, p, now_us, 0);
    packet_unref(p);
}

static void old_pictures_go_before_sound_and_words(void **state)
{
    static struct queue q;
    queue_init(&q);
    push(&q, PACKET_PICTURE, 0);
    push(&q, PACKET_SOUND, 0);
    push(&q, PACKET_TEXT, 0);
    push(&q, PACKET_PICTURE, 1600000); /* the first picture is 1.6 s old */
    assert_int_equal(q.n, 3);
    assert_int_equal(q.thinned, 1);
    push(&q, PACKET_TEXT, 4500000);
    assert_int_equal(q.n, 2); /* the words are left */
    struct packet *p = queue_pop(&q, 4500000);
    assert_int_equal(p->kind, PACKET_TEXT);
    packet_unref(p);
    assert_int_equal(q.thinned, 3);
    queue_finish(&q);
}

static void a_full_queue_keeps_what_matters(void **state)
{
    static struct queue q;
    queue_init(&q);
    push(&q, PACKET_TEXT, 0);
    for (int i = 1; i < QUEUE_PLACES; i++)
        push(&q, PACKET_PICTURE, 0);
    for (int i = 0; i < 5; i++)
        push(&q, PACKET_TEXT, 0);
    assert_int_equal(q.n, QUEUE_PLACES);
    assert_int_equal(q.thinned, 5);
    int texts = 0;
    for (struct packet *p; (p = queue_pop(&q, 0)) != NULL; packet_unref(p))
        texts += p->kind == PACKET_TEXT;
    assert_int_equal(texts, 6);
    queue_finish(&q);
}

static struct sockaddr_in6 address(const char *text)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    assert_int_equal(inet_pton(AF_INET6, text, &a.sin6_addr), 1);
    return a;
}

static void one_address_cannot_take_all_connections(void **state)
{
    struct guests *g = calloc(1, sizeof *g);
    g->most = 3;
    g->most_each = 2;
    struct sockaddr_in6 a = address("2001:db8::1"), same = address("2001:db8::ffff"),
                        b = address("::ffff:192.0.2.1"), c = address("2001:db8:1::1");
    struct guest *first = guests_enter(g, (struct sockaddr *)&a, false, 1);
    assert_non_null(first);
    assert_ptr_equal(guests_enter(g, (struct sockaddr *)&same, false, 2), first); /* one /64 */
    assert_null(guests_enter(g, (struct sockaddr *)&a, false, 3));
    assert_non_null(guests_enter(g, (struct sockaddr *)&b, false, 4));
    assert_null(guests_enter(g, (struct sockaddr *)&c, false, 5)); /* all are taken */
    guests_leave(g, first);
    assert_non_null(guests_enter(g, (struct sockaddr *)&c, false, 6));
    free(g);
}

static void a_proxys_neighbours_are_no_proxies(void **state)
{
    struct guests *g = calloc(1, sizeof *g);
    g->most = g->most_each = 8;
    struct sockaddr_in6 proxy = address("fd00::5"), neighbour = address("fd00::6");
    struct guest *first = guests_enter(g, (struct sockaddr *)&proxy, true, 1);
    struct guest *second = guests_enter(g, (struct sockaddr *)&neighbour, false, 2);
    assert_true(first != second && first->is_proxy && !second->is_proxy);
    /* also who came before the proxy */
    struct sockaddr_in6 early = address("fd01::6"), late = address("fd01::5");
    assert_false(guests_enter(g, (struct sockaddr *)&early, false, 3)->is_proxy);
    assert_true(guests_enter(g, (struct sockaddr *)&late, true, 4)->is_proxy);
    /* and a network whose key is the proxy's address */
    struct sockaddr_in6 network = address("fd02::"), in_it = address("fd02::1");
    assert_true(guests_enter(g, (struct sockaddr *)&network, true, 5)->is_proxy);
    assert_false(guests_enter(g, (struct sockaddr *)&in_it, false, 6)->is_proxy);
    free(g);
}

static void a_bucket_fills_with_time(void **state)
{
    struct bucket b = {0};
    for (int i = 0; i < 5; i++)
        assert_true(bucket_take(&b, 1, 5, 1000000));
    assert_false(bucket_take(&b, 1, 5, 1000000));
    assert_true(bucket_take(&b, 1, 5, 2100000));
    assert_false(bucket_take(&b, 1, 5, 2100000));
}

static enum gate_verdict ask(const struct settings *s, const struct password *password,
                             bool is_proxy, const char *host, const char *origin,
                             const char *cookie)
{
    const struct gate gate = {s, password};
    const struct guest guest = {.used = true, .is_proxy = is_proxy};
    const struct credentials c = {host, origin, "", cookie};
    return gate_check(&gate, &guest, &c, 1000);
}

static void another_sites_page_is_refused(void **state)
{
    struct settings s = {.is_loopback = true, .host = "127.0.0.1"};
    assert_int_equal(ask(&s, NULL, false, "localhost:8080", "http://localhost:8080", ""),
                     GATE_OPEN);
    assert_int_equal(ask(&s, NULL, false, "127.0.0.1:8080", "", ""), GATE_OPEN);
    assert_int_equal(ask(&s, NULL, false, "localhost:8080", "http://evil.example", ""),
                     GATE_FOREIGN);
    assert_int_equal(ask(&s, NULL, false, "localhost:8080", "null", ""), GATE_FOREIGN);
    assert_int_equal(ask(&s, NULL, false, "localhost:8080", "http://localhost:9", ""),
                     GATE_FOREIGN);
    /* a name that its owner points at 127.0.0.1: origin and host agree, and it is not ours */
    assert_int_equal(ask(&s, NULL, false, "evil.example:8080", "http://evil.example:8080", ""),
                     GATE_FOREIGN);
    assert_int_equal(ask(&s, NULL, false, "", "", ""), GATE_FOREIGN);
    char listed[] = "https://home.example";
    s.origin_list[0] = listed;
    s.n_origins = 1;
    assert_int_equal(ask(&s, NULL, false, "home.example", "https://home.example", ""), GATE_OPEN);
}

static void beyond_loopback_only_a_proxy_or_a_password_opens(void **state)
{
    char listed[] = "https://home.example";
    struct settings s = {
        .host = "0.0.0.0", .n_proxies = 1, .n_origins = 1, .origin_list = {listed}};
    assert_int_equal(ask(&s, NULL, false, "home.example", "", ""), GATE_FOREIGN);
    assert_int_equal(ask(&s, NULL, true, "home.example", "", ""), GATE_OPEN);
    struct password p = {.hash = "x", .key = {1, 2, 3}}, other = {.hash = "y", .key = {4}};
    char session[SESSION_TEXT_BYTES], cookie[256];
    session_make(&p, 1000, session);
    snprintf(cookie, sizeof cookie, "a=b; focal_session=%s; c=d", session);
    assert_int_equal(ask(&s, &p, false, "10.0.0.1", "", cookie), GATE_OPEN);
    assert_int_equal(ask(&s, &p, false, "10.0.0.1", "", ""), GATE_LOGIN);
    assert_int_equal(ask(&s, &other, false, "10.0.0.1", "", cookie), GATE_LOGIN);
    assert_int_equal(ask(&s, &p, false, "10.0.0.1", "http://evil.example", cookie), GATE_FOREIGN);
}

static void a_session_ends_and_cannot_be_lengthened(void **state)
{
    struct password p = {.key = {1, 2, 3}};
    char session[SESSION_TEXT_BYTES];
    session_make(&p, 1000, session);
    assert_true(session_is_good(&p, 1000, session));
    assert_true(session_is_good(&p, 1000 + SESSION_S, session));
    assert_false(session_is_good(&p, 1001 + SESSION_S, session));
    session[0]++; /* a later time than was signed */
    assert_false(session_is_good(&p, 1000 + SESSION_S, session));
    assert_false(session_is_good(&p, 1000, ""));
    assert_false(session_is_good(&p, 1000, "99999999999999999999.00"));
}

static int read_settings(const char *const *options, struct error *error)
{
    char *argv[16] = {"focal-web", "--config", "/dev/null"};
    int argc = 3;
    static struct settings settings;
    enum settings_action action;
    for (; *options != NULL; options++)
        argv[argc++] = (char *)*options;
    return settings_read(&settings, &action, argc, argv, error);
}

static void serving_others_without_protection_is_refused(void **state)
{
    struct error e;
    const char *const open[] = {"--listen", "0.0.0.0:8080", NULL};
    const char *const any[] = {"--listen", "*:8080", NULL};
    const char *const tls_alone[] = {"--listen",  "0.0.0.0:8080",  "--certificate",
                                     "/dev/null", "--private-key", "/dev/null",
                                     NULL};
    const char *const half_tls[] = {"--certificate", "/dev/null", NULL};
    const char *const proxy_alone[] = {"--listen", "0.0.0.0:80", "--trusted-proxy", "10.0.0.2",
                                       NULL};
    const char *const proxy[] = {"--listen", "0.0.0.0:80", "--trusted-proxy",
                                 "10.0.0.2", "--origins",  "https://home.example",
                                 NULL};
    const char *const loopback[] = {"--listen", "[::1]:0", NULL};
    assert_true(read_settings(open, &e) < 0);
    assert_non_null(strstr(e.text, "password_file"));
    assert_true(read_settings(any, &e) < 0);
    assert_true(read_settings(tls_alone, &e) < 0);
    assert_true(read_settings(half_tls, &e) < 0);
    assert_true(read_settings(proxy_alone, &e) < 0);
    assert_int_equal(read_settings(proxy, &e), 0);
    assert_int_equal(read_settings(loopback, &e), 0);
}

static void mistakes_in_settings_are_named(void **state)
{
    static const char *const bad[][3] = {
        {"--listen", "8080", "ADDRESS:PORT"},     {"--listen", "127.0.0.1:99999", "ADDRESS:PORT"},
        {"--knobs", "perhaps", "yes or no"},      {"--origins", "home.example", "SCHEME"},
        {"--trusted-proxy", "router", "numbers"}, {"--colour", "red", "no such option"}};
    struct error e;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *const options[] = {bad[i][0], bad[i][1], NULL};
        assert_true(read_settings(options, &e) < 0);
        if (strstr(e.text, bad[i][2]) == NULL)
            fail_msg("%s %s: %s", bad[i][0], bad[i][1], e.text);
    }
}

static void write_text(const char *dir, const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void files_of_ones_own_stand_above_the_file_beside_them(void **state)
{
    char dir[] = "/tmp/focal-web-XXXXXX", path[64], own[64], command[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/web.conf", dir);
    snprintf(own, sizeof own, "%s/web.conf.d", dir);
    assert_int_equal(mkdir(own, 0700), 0);
    write_text(dir, "web.conf", "[web]\nmax_viewers = 5\nmax_connections = 50\n");
    write_text(own, "2.conf", "[web]\nmax_viewers = 7\n");
    write_text(own, "1.conf", "[web]\nmax_viewers = 6\n");
    write_text(own, "notes", "[web]\nmax_viewers = 8\n");
    char *argv[] = {"focal-web", "--config", path};
    struct settings settings;
    enum settings_action action;
    struct error e;
    int code = settings_read(&settings, &action, 3, argv, &e);
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
    assert_int_equal(code, 0);
    assert_int_equal(settings.max_viewers, 7);
    assert_int_equal(settings.max_connections, 50);
}

static char *read_source(const char *relative)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", SOURCE_ROOT, relative);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *text = calloc(1, 1 << 16);
    assert_true(fread(text, 1, (1 << 16) - 1, f) > 0);
    fclose(f);
    return text;
}

static void the_shipped_file_and_the_manual_name_every_key(void **state)
{
    (void)state;
    char *file = read_source("viewers/web/focal-web.conf"), *page = read_source("man/focal-web.1");
    const char *key, *section;
    for (int i = 0, from, to; (key = settings_key(i, &section, &from, &to)) != NULL; i++) {
        char wanted[128];
        snprintf(wanted, sizeof wanted, "\n[%s]\n", section);
        const char *at = strstr(file, wanted), *end = at != NULL ? strstr(at + 1, "\n[") : NULL;
        snprintf(wanted, sizeof wanted, "\n#%s =", key);
        const char *line = at != NULL ? strstr(at, wanted) : NULL;
        if (line == NULL || (end != NULL && line > end))
            fail_msg("focal-web.conf does not list %s in [%s]", key, section);
        bool named = false; /* .Sy KEY , KEY */
        for (int k = 0; k < 2; k++) {
            snprintf(wanted, sizeof wanted, k == 0 ? "Sy %s" : " , %s", key);
            for (at = page; (at = strstr(at, wanted)) != NULL && !named; at++)
                named = strchr(" \n", at[strlen(wanted)]) != NULL;
        }
        if (!named)
            fail_msg("focal-web(1) does not name %s", key);
        snprintf(wanted, sizeof wanted, "%d to %d", from, to);
        if (to > 0 && strstr(file, wanted) == NULL)
            fail_msg("focal-web.conf does not say of %s: %s", key, wanted);
    }
    free(file);
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_is_what_rfc_9110_says),
        cmocka_unit_test(a_query_is_decoded_and_bounded),
        cmocka_unit_test(old_pictures_go_before_sound_and_words),
        cmocka_unit_test(a_full_queue_keeps_what_matters),
        cmocka_unit_test(one_address_cannot_take_all_connections),
        cmocka_unit_test(a_proxys_neighbours_are_no_proxies),
        cmocka_unit_test(a_bucket_fills_with_time),
        cmocka_unit_test(another_sites_page_is_refused),
        cmocka_unit_test(beyond_loopback_only_a_proxy_or_a_password_opens),
        cmocka_unit_test(a_session_ends_and_cannot_be_lengthened),
        cmocka_unit_test(serving_others_without_protection_is_refused),
        cmocka_unit_test(mistakes_in_settings_are_named),
        cmocka_unit_test(files_of_ones_own_stand_above_the_file_beside_them),
        cmocka_unit_test(the_shipped_file_and_the_manual_name_every_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
