/* SPDX-License-Identifier: Apache-2.0
 * What a training run shows: its log comes back as it was written, whatever happened to the last
 * line; its curves are a picture; its bar is for terminals and its lines for everyone. */
#include "tests/model/places.h"

#include <cairo.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>

#include "daemon/bar.h"
#include "daemon/train_curves.h"
#include "daemon/train_log.h"
#include "daemon/train_progress.h"

static struct train_epoch made(int epoch)
{
    uint64_t seed = 77 + (uint64_t)epoch;
    double x[24];
    for (int i = 0; i < 24; i++)
        x[i] = (double)random_next(&seed) / 1.8446744073709552e19;
    return (struct train_epoch){.epoch = epoch,
                                .step = 75 * (uint64_t)epoch,
                                .seconds = 34 * x[0],
                                .clips_per_s = 83 * x[1],
                                .rate = 2e-4 * x[2],
                                .loss_scale = epoch % 2 == 0 ? 0x1p16 : (double)NAN,
                                .skipped_steps = epoch % 2 == 0 ? 7 * x[23] : (double)NAN,
                                .loss = 3 * x[3],
                                .class_loss = 2 * x[4],
                                .teacher_loss = (double)NAN,
                                .rec_loss = x[18],
                                .vq_loss = x[19],
                                .accuracy = x[6],
                                .valid_loss = epoch % 2 == 0 ? x[20] : (double)NAN,
                                .valid_rec_loss = x[21],
                                .valid_vq_loss = x[22],
                                .valid_accuracy = x[7],
                                .valid_class_accuracy = x[8],
                                .fid_i = epoch % 5 == 0 ? x[9] : (double)NAN,
                                .fa = x[10],
                                .ff = x[11],
                                .ai = x[12],
                                .ad = x[13],
                                .ag = -x[14],
                                .empty = 0,
                                .score = x[16],
                                .best = epoch % 3 == 1};
}

static bool same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool same(const struct train_epoch *a, const struct train_epoch *b)
{
    return a->epoch == b->epoch && a->step == b->step && a->best == b->best &&
           same_number(a->seconds, b->seconds) && same_number(a->clips_per_s, b->clips_per_s) &&
           same_number(a->rate, b->rate) && same_number(a->loss_scale, b->loss_scale) &&
           same_number(a->skipped_steps, b->skipped_steps) && same_number(a->loss, b->loss) &&
           same_number(a->class_loss, b->class_loss) &&
           same_number(a->teacher_loss, b->teacher_loss) && same_number(a->accuracy, b->accuracy) &&
           same_number(a->rec_loss, b->rec_loss) && same_number(a->vq_loss, b->vq_loss) &&
           same_number(a->valid_loss, b->valid_loss) &&
           same_number(a->valid_rec_loss, b->valid_rec_loss) &&
           same_number(a->valid_vq_loss, b->valid_vq_loss) &&
           same_number(a->valid_accuracy, b->valid_accuracy) &&
           same_number(a->valid_class_accuracy, b->valid_class_accuracy) &&
           same_number(a->fid_i, b->fid_i) && same_number(a->fa, b->fa) &&
           same_number(a->ff, b->ff) && same_number(a->ai, b->ai) && same_number(a->ad, b->ad) &&
           same_number(a->ag, b->ag) && same_number(a->empty, b->empty) &&
           same_number(a->score, b->score);
}

static struct train_log *open_log(const char *path, int epochs)
{
    struct train_log *log = NULL;
    struct error error = {""};
    if (train_log_open(&log, path, epochs, &error) < 0)
        fail_msg("%s", error.text);
    return log;
}

static void append(struct train_log *log, int from, int to)
{
    struct error error = {""};
    for (int i = from; i <= to; i++) {
        struct train_epoch e = made(i);
        if (train_log_append(log, &e, &error) < 0)
            fail_msg("%s", error.text);
    }
}

static void holds(const struct train_log *log, int epochs)
{
    int n = -1;
    const struct train_epoch *all = train_log_epochs(log, &n);
    assert_int_equal(n, epochs);
    for (int i = 0; i < n; i++) {
        struct train_epoch expected = made(i + 1);
        assert_true(same(&all[i], &expected));
    }
}

static struct place log_of(const char *name, int epochs)
{
    struct place p = in_scratch(name);
    struct train_log *log = open_log(p.path, 0);
    append(log, 1, epochs);
    holds(log, epochs);
    train_log_close(log);
    return p;
}

static void what_was_logged_comes_back(void **state)
{
    struct place p = log_of("whole", 150);
    struct train_log *log = open_log(p.path, 150);
    holds(log, 150);
    append(log, 151, 152);
    train_log_close(log);
    log = open_log(p.path, 152);
    holds(log, 152);
    train_log_close(log);
    train_log_close(NULL);
}

static void lines_beyond_the_state_are_cut(void **state)
{
    struct place p = log_of("beyond", 9);
    struct train_log *log = open_log(p.path, 7);
    holds(log, 7);
    append(log, 8, 8);
    train_log_close(log);
    log = open_log(p.path, 100);
    holds(log, 8);
    train_log_close(log);
    log = open_log(p.path, 0);
    holds(log, 0);
    train_log_close(log);
    size_t n = 1;
    free(read_bytes(p.path, &n));
    assert_int_equal(n, 0);
}

static void a_torn_last_line_is_cut_wherever_it_was_torn(void **state)
{
    struct place p = log_of("torn", 4);
    size_t n;
    char *bytes = read_bytes(p.path, &n);
    size_t begin = n - 1;
    while (bytes[begin - 1] != '\n')
        begin--;
    for (size_t length = begin; length <= n; length++) {
        write_bytes(p.path, bytes, length);
        struct train_log *log = open_log(p.path, 4);
        /* all but its end is a whole line */
        holds(log, length + 1 >= n ? 4 : 3);
        append(log, length + 1 >= n ? 5 : 4, 6);
        train_log_close(log);
        log = open_log(p.path, 6);
        holds(log, 6);
        train_log_close(log);
    }
    memset(bytes + begin, 0, n - begin); /* what some file systems leave after a crash */
    write_bytes(p.path, bytes, n);
    struct train_log *log = open_log(p.path, 4);
    holds(log, 3);
    train_log_close(log);
    free(bytes);
}

static void a_bad_line_is_named(void **state)
{
    static const struct {
        const char *line, *said;
    } bad[] = {
        {"{\"epoch\":2,\"step\"", "not a JSON object"},
        {"[]", "not a JSON object"},
        {"", "not a JSON object"},
        {"{\"epoch\":0,\"step\":1}", "\"epoch\""},
        {"{\"epoch\":99999999999,\"step\":1}", "\"epoch\""},
        {"{\"epoch\":2,\"step\":-1}", "\"step\""},
        {"{\"epoch\":2,\"step\":1,\"best\":1}", "\"best\""},
        {"{\"epoch\":2,\"step\":1,\"loss\":\"high\"}", "a figure"},
        {"{\"epoch\":1,\"step\":1}", "not later"},
    };
    struct place p = in_scratch("bad");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[300], where[4200];
        struct train_log *log = NULL;
        struct error error = {""};
        int n = snprintf(text, sizeof text,
                         "{\"epoch\":1,\"step\":5}\n%s\n{\"epoch\":3,\"step\":6}\n", bad[i].line);
        write_bytes(p.path, text, (size_t)n);
        snprintf(where, sizeof where, "%s:2:", p.path);
        assert_int_equal(train_log_open(&log, p.path, 9, &error), -EBADMSG);
        assert_line(&error, where, bad[i].said, NULL);
        assert_null(log);
        size_t after;
        char *kept = read_bytes(p.path, &after);
        assert_string_equal(kept, text);
        free(kept);
    }
    struct train_log *log = NULL;
    struct error error = {""};
    assert_true(train_log_open(&log, "/nowhere/log.jsonl", 0, &error) < 0);
    assert_line(&error, "/nowhere/log.jsonl", NULL);
}

static void an_epoch_follows_the_last(void **state)
{
    struct place p = log_of("order", 3);
    struct train_log *log = open_log(p.path, 3);
    struct train_epoch e = made(3);
    struct error error = {""};
    assert_int_equal(train_log_append(log, &e, &error), -EINVAL);
    assert_line(&error, p.path, "epoch 3 does not follow epoch 3", NULL);
    holds(log, 3);
    train_log_close(log);
}

/* A limit of the file's length stands for a full disk. */
static void a_full_disk_leaves_the_log_as_it_was(void **state)
{
    struct place p = log_of("full", 3);
    struct train_log *log = open_log(p.path, 3);
    struct train_epoch e = made(4);
    struct rlimit kept, small;
    struct error error = {""};
    struct stat st;
    assert_int_equal(stat(p.path, &st), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &kept), 0);
    small = kept;
    small.rlim_cur = (rlim_t)st.st_size + 10;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int r = train_log_append(log, &e, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &kept), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(r, -EFBIG);
    assert_line(&error, p.path, "cannot be written", NULL);
    holds(log, 3);
    size_t n;
    free(read_bytes(p.path, &n));
    assert_int_equal(n, st.st_size);
    append(log, 4, 4);
    train_log_close(log);
    log = open_log(p.path, 4);
    holds(log, 4);
    train_log_close(log);
}

static void curves_are_drawn_of_one_epoch_and_of_a_thousand(void **state)
{
    static struct train_epoch epochs[1000];
    static const int counts[] = {1, 2, 100, 1000};
    struct place p = in_scratch("curves.png");
    struct error error = {""};
    for (int i = 0; i < 1000; i++)
        epochs[i] = made(i + 1);
    for (size_t k = 0; k < 4; k++) { /* an interpreter's, then a classifier's */
        for (int i = 0; i < 1000 && k == 2; i++)
            epochs[i].rec_loss = epochs[i].vq_loss = (double)NAN;
        if (train_curves_write(p.path, "home", epochs, counts[k], &error) < 0)
            fail_msg("%s", error.text);
        cairo_surface_t *png = cairo_image_surface_create_from_png(p.path);
        assert_int_equal(cairo_surface_status(png), CAIRO_STATUS_SUCCESS);
        assert_in_range(cairo_image_surface_get_width(png), 800, 2000);
        cairo_surface_destroy(png);
    }
    struct train_epoch nothing = {.epoch = 7, .class_loss = (double)INFINITY};
    nothing.loss = nothing.rate = nothing.teacher_loss = nothing.accuracy = (double)NAN;
    nothing.valid_accuracy = nothing.fid_i = nothing.rec_loss = (double)NAN;
    assert_int_equal(train_curves_write(p.path, "home", &nothing, 1, &error), 0);
    assert_true(train_curves_write("/nowhere/curves.png", "home", epochs, 3, &error) < 0);
    assert_line(&error, "/nowhere/curves.png", NULL);
}

static void times_read_well(void **state)
{
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{0, "0:00"},
                 {7.4, "0:07"},
                 {62, "1:02"},
                 {3599.4, "59:59"},
                 {3599.6, "1:00:00"},
                 {11265, "3:07:45"},
                 {448200, "5 d 04:30"},
                 {(double)NAN, "?"},
                 {(double)INFINITY, "?"},
                 {-1, "?"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[32];
        bar_time(cases[i].seconds, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
}

/* Two epochs as a run shows them, of which one has a bar. */
static void show_a_run(bool quiet)
{
    struct train_progress progress;
    struct train_epoch e = made(12);
    e.valid_loss = (double)NAN;
    e.seconds = 34.2;
    e.loss = 1.234;
    e.accuracy = 0.567;
    e.valid_accuracy = 0.512;
    e.fid_i = 0.21;
    e.rate = 1.2e-4;
    e.skipped_steps = 2;
    e.best = true;
    train_progress_begin(&progress, 100, 11, quiet);
    train_progress_epoch(&progress, 12);
    for (int i = 0; i < 1000; i++)
        train_progress_batch(&progress, i / 1000.0, 1.234, 0.567, 83.1);
    train_progress_validation(&progress, 3, 400, 0.0075);
    train_progress_line(&progress, &e);
    e.epoch = 13;
    e.best = false;
    e.skipped_steps = 0;
    e.valid_accuracy = e.fid_i = (double)NAN;
    train_progress_epoch(&progress, 13);
    train_progress_line(&progress, &e);
    train_progress_wipe(&progress);
}

/* What show_a_run says on a stderr that is fd. */
static void say_on(int fd, bool quiet)
{
    fflush(stderr);
    int kept = dup(STDERR_FILENO);
    assert_true(kept >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    show_a_run(quiet);
    fflush(stderr);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
}

static const char lines[] =
    "epoch  12  loss 1.2340  train 0.567  valid 0.512  FID-I 0.210  rate 1.2e-04  "
    "steps skipped 2  34 s  (best)\n"
    "epoch  13  loss 1.2340  train 0.567  rate 1.2e-04  34 s\n";

static void away_from_a_terminal_an_epoch_is_a_line(void **state)
{
    struct place p = in_scratch("stderr");
    for (int quiet = 0; quiet < 2; quiet++) {
        int fd = open(p.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        size_t n;
        say_on(fd, quiet == 1);
        close(fd);
        char *said = read_bytes(p.path, &n);
        assert_string_equal(said, quiet ? "" : lines);
        free(said);
    }
}

static size_t read_terminal(int fd, char *ret, size_t size)
{
    size_t n = 0;
    for (ssize_t got; n + 1 < size && (got = read(fd, ret + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    ret[n] = '\0';
    return n;
}

/* Columns of a line: a byte each but for UTF-8's followers. */
static int widest(const char *text)
{
    int here = 0, most = 0;
    for (const char *c = text; *c != '\0'; c++) {
        here = *c == '\r' || *c == '\n' ? 0 : here + ((*c & 0xc0) != 0x80);
        if (strncmp(c, "\033[K", 3) == 0)
            here -= 3;
        most = here > most ? here : most;
    }
    return most;
}

static void on_a_terminal_the_bar_fits_and_is_rarely_redrawn(void **state)
{
    static const int widths[] = {20, 60, 100, 200};
    for (size_t k = 0; k < 4; k++) {
        static char said[100000];
        int outer = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (outer < 0 || grantpt(outer) < 0 || unlockpt(outer) < 0) {
            print_message("skipped: no pseudo-terminal here\n");
            skip();
        }
        int inner = open(ptsname(outer), O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(inner >= 0);
        struct winsize size = {.ws_row = 25, .ws_col = (unsigned short)widths[k]};
        assert_int_equal(ioctl(inner, TIOCSWINSZ, &size), 0);
        double began_s = bar_now_s();
        say_on(inner, false);
        double took_s = bar_now_s() - began_s;
        read_terminal(outer, said, sizeof said);
        close(inner);
        close(outer);
        int drawn = 0;
        for (const char *at = said; (at = strstr(at, "epoch 12/100 ")) != NULL; at++)
            drawn++;
        assert_in_range(drawn, 1, 2 + (int)(10 * took_s));
        char *stays = strstr(said, "epoch  12");
        assert_non_null(stays);
        assert_non_null(strstr(stays, "(best)\r\n"));
        *stays = '\0';
        assert_true(widest(said) < widths[k]);
        if (widths[k] >= 100) {
            assert_non_null(strstr(said, "·"));
            assert_non_null(strstr(said, "loss 1.234  acc 0.567  83.1 clips/s"));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_logged_comes_back),
        cmocka_unit_test(lines_beyond_the_state_are_cut),
        cmocka_unit_test(a_torn_last_line_is_cut_wherever_it_was_torn),
        cmocka_unit_test(a_bad_line_is_named),
        cmocka_unit_test(an_epoch_follows_the_last),
        cmocka_unit_test(a_full_disk_leaves_the_log_as_it_was),
        cmocka_unit_test(curves_are_drawn_of_one_epoch_and_of_a_thousand),
        cmocka_unit_test(times_read_well),
        cmocka_unit_test(away_from_a_terminal_an_epoch_is_a_line),
        cmocka_unit_test(on_a_terminal_the_bar_fits_and_is_rarely_redrawn),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
