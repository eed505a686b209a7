/* SPDX-License-Identifier: Apache-2.0
 * The picture of a clip, read back from its PNG: what sounds is where it sounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <cairo.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/colormap.h"
#include "daemon/picture.h"
#include "base/utf8.h"

enum { RATE = 16000, FRAMES = 431, BINS = 513 };

static const struct stft_shape shape = {1024, 372, 186};
static char directory[64];

/* CIE lightness of an sRGB colour, 0 ... 100. */
static double lightness(const float rgb[3])
{
    static const double weights[3] = {0.2126, 0.7152, 0.0722};
    double y = 0;
    for (int c = 0; c < 3; c++) {
        double v = (double)rgb[c];
        y += weights[c] * (v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4));
    }
    return y > 0.008856 ? 116 * cbrt(y) - 16 : 903.3 * y;
}

/* Lightness alone tells the value: in grey, and for every kind of colour vision. */
static void colours_grow_lighter_evenly(void **state)
{
    (void)state;
    static const enum colormap maps[] = {COLORMAP_MAGMA, COLORMAP_VIRIDIS};
    for (size_t m = 0; m < ARRAY_LEN(maps); m++) {
        float first[3], last[3];
        colormap_rgb(maps[m], 0, first);
        colormap_rgb(maps[m], 1, last);
        double step = (lightness(last) - lightness(first)) / 20, before = lightness(first);
        assert_true(step > 3);
        for (int i = 1; i <= 20; i++) {
            float rgb[3];
            colormap_rgb(maps[m], (float)i / 20, rgb);
            double now = lightness(rgb);
            assert_true(now - before > step / 2 && now - before < step * 2);
            before = now;
        }
    }
}

static void colours_of_values_beyond_the_ends_are_the_ends(void **state)
{
    (void)state;
    float low[3], high[3], rgb[3];
    colormap_rgb(COLORMAP_MAGMA, 0, low);
    colormap_rgb(COLORMAP_MAGMA, 1, high);
    colormap_rgb(COLORMAP_MAGMA, -3, rgb);
    assert_memory_equal(rgb, low, sizeof rgb);
    colormap_rgb(COLORMAP_MAGMA, NAN, rgb);
    assert_memory_equal(rgb, low, sizeof rgb);
    colormap_rgb(COLORMAP_MAGMA, 7, rgb);
    assert_memory_equal(rgb, high, sizeof rgb);
    assert_int_equal(colormap_pixel((const float[3]){1, 0.5f, 0}), 0xff8000);
}

/* Loud from 1 s to 2 s between 2 and 4 kHz; the map and the mask only in the band's second half. */
struct window {
    float *logspec, *map;
    uint8_t *mask;
};

static struct window make_window(void)
{
    struct window w = {calloc((size_t)FRAMES * BINS, sizeof(float)),
                       calloc((size_t)FRAMES * BINS, sizeof(float)),
                       calloc((size_t)FRAMES * BINS, 1)};
    for (int t = 0; t < FRAMES; t++)
        for (int f = 0; f < BINS; f++) {
            double s = t * 186.0 / RATE, hz = f * 15.625;
            size_t i = (size_t)t * BINS + (size_t)f;
            w.logspec[i] = s >= 1 && s < 2 && hz >= 2000 && hz < 4000 ? 2 : 0;
            w.mask[i] = s >= 1.5 && s < 2 && hz >= 2000 && hz < 4000;
            w.map[i] = w.mask[i] ? 9 : 1;
        }
    return w;
}

static void free_window(struct window *w)
{
    free(w->logspec);
    free(w->map);
    free(w->mask);
}

static const struct picture_text text = {"a title", "a subtitle"};

static cairo_surface_t *write_and_read(struct picture *p, const char *name)
{
    char path[128];
    struct error error = {""};
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (picture_write(p, &text, path, &error) != 0)
        fail_msg("%s", error.text);
    cairo_surface_t *image = cairo_image_surface_create_from_png(path);
    assert_int_equal(cairo_surface_status(image), CAIRO_STATUS_SUCCESS);
    return image;
}

static uint32_t pixel(cairo_surface_t *image, double x, double y)
{
    const unsigned char *data = cairo_image_surface_get_data(image);
    size_t stride = (size_t)cairo_image_surface_get_stride(image);
    uint32_t value;
    memcpy(&value, data + (size_t)y * stride + (size_t)x * 4, sizeof value);
    return value & 0xffffff;
}

static bool same_color(uint32_t a, uint32_t b)
{
    for (int shift = 0; shift < 24; shift += 8)
        if (abs((int)(a >> shift & 0xff) - (int)(b >> shift & 0xff)) > 6)
            return false;
    return true;
}

/* Where the panels lie is found in the picture itself: magma's black fills the first and the third
 * from end to end at 7 kHz, where nothing sounds. Returns the columns of a panel's plot. */
static void find_panel(cairo_surface_t *image, int number, double *ret_x, double *ret_width)
{
    float rgb[3];
    colormap_rgb(COLORMAP_MAGMA, 0, rgb);
    uint32_t black = colormap_pixel(rgb);
    int width = cairo_image_surface_get_width(image), run = 0, found = 0;
    double y = cairo_image_surface_get_height(image) * 0.28;
    for (int x = 0; x < width; x++) {
        run = same_color(pixel(image, x, y), black) ? run + 1 : 0;
        bool ends = run > 200 && (x + 1 == width || !same_color(pixel(image, x + 1, y), black));
        if (ends && found++ == number) {
            *ret_x = x + 1 - run;
            *ret_width = run;
            return;
        }
    }
    fail_msg("panel %d is not in the picture", number);
    abort();
}

/* The rows of the plots, by the same black at 4.5 s. */
static void find_rows(cairo_surface_t *image, double x, double width, double *ret_y,
                      double *ret_height)
{
    float rgb[3];
    colormap_rgb(COLORMAP_MAGMA, 0, rgb);
    int height = cairo_image_surface_get_height(image), run = 0;
    for (int y = 0; y < height; y++) {
        bool black = same_color(pixel(image, x + 0.9 * width, y), colormap_pixel(rgb));
        if (!black && run > 200) {
            *ret_y = y - run;
            *ret_height = run;
            return;
        }
        run = black ? run + 1 : 0;
    }
    fail_msg("the plot's rows are not in the picture");
    abort();
}

static void time_goes_right_and_frequency_up(void **state)
{
    (void)state;
    struct picture *p;
    struct error error = {""};
    struct window w = make_window();
    assert_int_equal(picture_create(&p, 5 * RATE, RATE, &shape, INTERPRETER_MODULATION, &error), 0);
    picture_add(p, 0, FRAMES, w.logspec, w.map, w.mask);
    cairo_surface_t *image = write_and_read(p, "tone.png");
    float rgb[3];
    colormap_rgb(COLORMAP_MAGMA, 1, rgb);
    uint32_t loud = colormap_pixel(rgb), quiet;
    colormap_rgb(COLORMAP_MAGMA, 0, rgb);
    quiet = colormap_pixel(rgb);
    double x, width, y, height;
    find_panel(image, 0, &x, &width);
    find_rows(image, x, width, &y, &height);
    assert_true(same_color(pixel(image, x + width * 0.25, y + height * (1 - 3.0 / 8)), loud));
    assert_true(same_color(pixel(image, x + width * 0.35, y + height * (1 - 3.0 / 8)), loud));
    assert_true(same_color(pixel(image, x + width * 0.75, y + height * (1 - 3.0 / 8)), quiet));
    assert_true(same_color(pixel(image, x + width * 0.25, y + height * 3.0 / 8), quiet));
    find_panel(image, 1, &x, &width); /* what the mask keeps: the second half */
    assert_true(same_color(pixel(image, x + width * 0.25, y + height * (1 - 3.0 / 8)), quiet));
    assert_true(same_color(pixel(image, x + width * 0.35, y + height * (1 - 3.0 / 8)), loud));
    cairo_surface_destroy(image);
    picture_destroy(p);
    free_window(&w);
}

static void long_and_short_clips_have_sane_sizes(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 100, 8000, 5 * RATE, 60 * RATE, 3600 * (size_t)RATE};
    struct window w = make_window();
    for (size_t k = 0; k < ARRAY_LEN(lengths); k++) {
        struct picture *p;
        struct error error = {""};
        char name[32];
        assert_int_equal(
            picture_create(&p, lengths[k], RATE, &shape, INTERPRETER_MODULATION, &error), 0);
        for (size_t first = 0; first < lengths[k]; first += 5 * RATE)
            picture_add(p, first, FRAMES, w.logspec, w.map, w.mask);
        snprintf(name, sizeof name, "%zu.png", k);
        cairo_surface_t *image = write_and_read(p, name);
        assert_true(cairo_image_surface_get_width(image) >= 1000);
        assert_true(cairo_image_surface_get_width(image) <= 4500);
        assert_true(cairo_image_surface_get_height(image) <= 1000);
        cairo_surface_destroy(image);
        picture_destroy(p);
    }
    free_window(&w);
}

static void silence_can_be_drawn(void **state)
{
    (void)state;
    struct picture *p;
    struct error error = {""};
    float *zeros = calloc((size_t)FRAMES * BINS, sizeof *zeros);
    assert_int_equal(picture_create(&p, 5 * RATE, RATE, &shape, INTERPRETER_MODULATION, &error), 0);
    picture_add(p, 0, FRAMES, zeros, NULL, NULL);
    cairo_surface_destroy(write_and_read(p, "silence.png"));
    picture_destroy(p);
    free(zeros);
}

/* The map's panel says whose map it is, above the plot; the other panels are the same. */
static void the_map_is_named_after_its_interpreter(void **state)
{
    (void)state;
    static const enum interpreter interpreters[] = {INTERPRETER_MODULATION, INTERPRETER_ATTENTION,
                                                    INTERPRETER_PIQ};
    struct window w = make_window();
    cairo_surface_t *images[3];
    for (size_t k = 0; k < 3; k++) {
        struct picture *p;
        struct error error = {""};
        assert_int_equal(picture_create(&p, 5 * RATE, RATE, &shape, interpreters[k], &error), 0);
        picture_add(p, 0, FRAMES, w.logspec, w.map, w.mask);
        images[k] = write_and_read(p, "named.png");
        picture_destroy(p);
    }
    const int width = cairo_image_surface_get_width(images[0]);
    const int height = cairo_image_surface_get_height(images[0]);
    double x, plot, y, rows;
    find_panel(images[0], 0, &x, &plot);
    find_rows(images[0], x, plot, &y, &rows);
    for (size_t k = 0; k < 3; k++) {
        cairo_surface_t *a = images[k], *b = images[(k + 1) % 3];
        int above = 0, elsewhere = 0;
        for (int row = 0; row < height; row++)
            for (int col = 0; col < width; col++)
                if (pixel(a, col, row) != pixel(b, col, row))
                    *(row < y && col > width / 3 && col < width * 2 / 3 ? &above : &elsewhere) += 1;
        assert_true(above > 100);
        assert_int_equal(elsewhere, 0);
    }
    for (size_t k = 0; k < 3; k++)
        cairo_surface_destroy(images[k]);
    free_window(&w);
}

static int count_files(const char *path)
{
    int n = 0;
    DIR *dir = opendir(path);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(dir);
    return n;
}

/* The final name is a directory. */
static void a_picture_that_cannot_be_written_leaves_nothing(void **state)
{
    (void)state;
    struct picture *p;
    struct error error = {""};
    char path[128], inside[160];
    float *zeros = calloc((size_t)FRAMES * BINS, sizeof *zeros);
    snprintf(path, sizeof path, "%s/taken", directory);
    snprintf(inside, sizeof inside, "%s/picture.png", path);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(mkdir(inside, 0755), 0);
    assert_int_equal(picture_create(&p, 5 * RATE, RATE, &shape, INTERPRETER_MODULATION, &error), 0);
    picture_add(p, 0, FRAMES, zeros, NULL, NULL);
    assert_int_equal(picture_write(p, &text, inside, &error), -EISDIR);
    assert_non_null(strstr(error.text, inside));
    assert_int_equal(count_files(path), 1);
    assert_int_equal(picture_write(p, &text, "/nonexistent/dir/a.png", &error), -ENOENT);
    assert_non_null(strstr(error.text, "/nonexistent/dir/a.png"));
    picture_destroy(p);
    free(zeros);
}

static void bytes_that_are_no_utf8_are_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {{"", ""},
                 {"dog", "dog"},
                 {"Gl\xc3\xbc"
                  "ck \xf0\x9f\x90\x95",
                  "Gl\xc3\xbc"
                  "ck \xf0\x9f\x90\x95"},
                 {"a\xff"
                  "b",
                  "a\xef\xbf\xbd"
                  "b"},
                 {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
                 {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
                 {"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"}};
    char clean[64];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        utf8_clean(cases[i].in, clean, sizeof clean);
        assert_string_equal(clean, cases[i].out);
    }
    utf8_clean("ab\xc3\xbc", clean, 4); /* no half character */
    assert_string_equal(clean, "ab");
}

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/focald-picture-XXXXXX");
    return mkdtemp(directory) != NULL ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(colours_grow_lighter_evenly),
        cmocka_unit_test(colours_of_values_beyond_the_ends_are_the_ends),
        cmocka_unit_test(time_goes_right_and_frequency_up),
        cmocka_unit_test(long_and_short_clips_have_sane_sizes),
        cmocka_unit_test(silence_can_be_drawn),
        cmocka_unit_test(the_map_is_named_after_its_interpreter),
        cmocka_unit_test(a_picture_that_cannot_be_written_leaves_nothing),
        cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
