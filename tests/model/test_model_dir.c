/* SPDX-License-Identifier: Apache-2.0
 * Model directories: the shipped one opens and is described rightly; each way to spoil a copy of it
 * gives one line that names the file and the thing. */
#include "tests/model/places.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <sodium.h>

#include "model/model.h"
#include "model/model_internal.h"
#include "tests/model/made_model.h"

static const char *const files[] = {"config.json", "labels.txt", "preprocess.json",
                                    "model.safetensors"};

static struct place model_dir;

static struct place in_model(const char *name)
{
    struct place p;
    snprintf(p.path, sizeof p.path, "%.4000s/%s", model_dir.path, name);
    return p;
}

/* A fresh copy of the shipped model in scratch/model. */
static int copy_model(void **state)
{
    model_dir = in_scratch("model");
    mkdir(model_dir.path, 0755);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char source[256];
        size_t n;
        snprintf(source, sizeof source, "tests/data/baseline/%s", files[i]);
        char *bytes = read_bytes(in_source(source).path, &n);
        struct place to = in_model(files[i]);
        remove(to.path);
        write_bytes(to.path, bytes, n);
        free(bytes);
    }
    return 0;
}

static void assert_refused(int code, const char *file, const char *piece)
{
    struct model *const untouched = (struct model *)(void *)&scratch;
    struct model *m = untouched;
    struct error error = {""};
    int r = model_open(&m, model_dir.path, &error);
    if (r != code)
        fail_msg("%s, %s: %d, not %d", file, piece, r, code);
    assert_ptr_equal(m, untouched);
    assert_line(&error, model_dir.path, file, piece, NULL);
}

static struct model *open_or_fail(const char *dir)
{
    struct model *m = NULL;
    struct error error = {""};
    if (model_open(&m, dir, &error) < 0)
        fail_msg("%s", error.text);
    return m;
}

/* The honest way */

/* What the weights file and the small files say, counted here by other means. */
static void a_trained_model_opens_and_is_described_rightly(void **state)
{
    struct model *m = open_or_fail(in_source("tests/data/baseline").path);
    const struct model_info *info = model_info(m);
    assert_string_equal(info->name, "baseline");
    assert_string_equal(info->architecture, "focalnet");
    assert_int_equal(info->image_rows, 112);
    assert_int_equal(info->image_cols, 112);
    assert_int_equal(info->n_maps, 4);
    for (int s = 0; s < 4; s++) {
        assert_int_equal(info->maps[s].rows, 28 >> s == 3 ? 4 : 28 >> s); /* 28 14 7 4 */
        assert_int_equal(info->maps[s].cols, info->maps[s].rows);
    }
    const struct model_preprocess *p = &info->preprocess;
    assert_int_equal(p->sample_rate, 16000);
    assert_int_equal(p->window_samples, 80000);
    assert_int_equal(p->n_fft, 1024);
    assert_int_equal(p->win_length, 372);
    assert_int_equal(p->hop_length, 186);
    assert_true(p->antialias);
    assert_true(p->scale == 30);
    assert_true(info->flops > 1e6);

    size_t n, parameters = 0, rows = 0;
    char *labels = read_bytes(in_model("labels.txt").path, &n), *line = labels;
    for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1, rows++) {
        *end = '\0';
        assert_string_equal(info->labels[rows], line);
    }
    assert_int_equal(info->n_classes, rows + (*line != '\0'));
    free(labels);

    struct safetensors *f;
    struct error error;
    assert_int_equal(safetensors_open(&f, in_model("model.safetensors").path, &error), 0);
    for (size_t i = 0; i < safetensors_count(f); i++) {
        const struct safetensors_tensor *t = safetensors_at(f, i);
        bool counted = strstr(t->name, "running_") == NULL &&
                       strstr(t->name, "num_batches") == NULL &&
                       strncmp(t->name, "focalnet.layernorm.", 19) != 0;
        parameters += counted ? t->cells : 0;
    }
    safetensors_close(f);
    assert_int_equal(info->parameters, parameters);

    char *bytes = read_bytes(in_model("model.safetensors").path, &n), hex[65];
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(digest, (unsigned char *)bytes, n);
    assert_string_equal(info->hash, sodium_bin2hex(hex, sizeof hex, digest, sizeof digest));
    free(bytes);
    model_close(m);
}

static void the_name_is_the_directorys_last(void **state)
{
    static const char *const endings[] = {"", "/", "//", "/.", "/../model", "/../model/."};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char dir[4200];
        snprintf(dir, sizeof dir, "%s%s", model_dir.path, endings[i]);
        struct model *m = open_or_fail(dir);
        assert_string_equal(model_info(m)->name, "model");
        model_close(m);
    }
    struct place odd = in_scratch("caf\xe9\n");
    assert_int_equal(rename(model_dir.path, odd.path), 0);
    struct model *m = open_or_fail(odd.path);
    assert_string_equal(model_info(m)->name, "caf??");
    model_close(m);
    assert_int_equal(rename(odd.path, model_dir.path), 0);
}

static void absent_preprocessing_takes_the_designs(void **state)
{
    assert_int_equal(remove(in_model("preprocess.json").path), 0);
    struct model *m = open_or_fail(model_dir.path);
    const struct model_preprocess *p = &model_info(m)->preprocess;
    assert_int_equal(p->sample_rate, 16000);
    assert_int_equal(p->window_samples, 80000);
    assert_int_equal(p->n_fft, 1024);
    assert_int_equal(p->win_length, 372);
    assert_int_equal(p->hop_length, 186);
    assert_true(p->scale == 30);
    assert_int_equal(p->reject.score, REJECT_NONE);
    model_close(m);
}

static void preprocessing_is_taken_from_its_file(void **state)
{
    static const char text[] = "{\"window_s\": 2.5, \"n_fft\": 512, \"win_length\": 400, "
                               "\"hop_length\": 200, \"antialias\": false, \"scale\": 12.5, "
                               "\"reject\": {\"score\": \"energy\", \"below\": 0.75}}";
    write_bytes(in_model("preprocess.json").path, text, sizeof text - 1);
    struct model *m = open_or_fail(model_dir.path);
    const struct model_preprocess *p = &model_info(m)->preprocess;
    assert_int_equal(p->sample_rate, 16000);
    assert_int_equal(p->window_samples, 40000);
    assert_int_equal(p->n_fft, 512);
    assert_int_equal(p->win_length, 400);
    assert_int_equal(p->hop_length, 200);
    assert_false(p->antialias);
    assert_true(p->scale == 12.5f);
    assert_int_equal(p->reject.score, REJECT_ENERGY);
    assert_true(p->reject.below == 0.75f);
    model_close(m);
}

static void weights_that_are_not_finite_are_refused(void **state)
{
    static const struct {
        const char *tensor;
        float value;
    } cases[] = {{"classifier.weight", NAN},
                 {"focalnet.encoder.stages.2.layers.1.mlp.fc1.bias", -INFINITY},
                 {"classifier.blocks.0.norm.running_var", -1e-3f}};
    struct error error;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (made_changed(model_dir.path, in_source("tests/data/baseline").path, cases[i].tensor,
                         cases[i].value, &error) < 0)
            fail_msg("%s", error.text);
        assert_refused(-EINVAL, "model.safetensors: value 0", cases[i].tensor);
    }
}

static void labels_of_windows_editors_are_the_same(void **state)
{
    size_t n, k = 0;
    char *text = read_bytes(in_model("labels.txt").path, &n), *crlf = malloc(2 * n + 3);
    struct model *before = open_or_fail(model_dir.path);
    k = (size_t)(stpcpy(crlf, "\xef\xbb\xbf") - crlf); /* a byte order mark */
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\n')
            crlf[k++] = '\r';
        crlf[k++] = text[i];
    }
    write_bytes(in_model("labels.txt").path, crlf, k);
    struct model *m = open_or_fail(model_dir.path);
    for (int i = 0; i < model_info(m)->n_classes; i++)
        assert_string_equal(model_info(m)->labels[i], model_info(before)->labels[i]);
    model_close(before);
    model_close(m);
    free(text);
    free(crlf);
}

static void the_built_in_geometry_is_focalnet_base(void **state)
{
    struct model *m = open_or_fail("focalnet-base");
    const struct model_info *info = model_info(m);
    assert_string_equal(info->name, "focalnet-base");
    assert_int_equal(info->image_rows, 224);
    assert_int_equal(info->n_classes, 50);
    assert_int_equal(info->n_maps, 4);
    for (int s = 0; s < 4; s++)
        assert_int_equal(info->maps[s].rows, 56 >> s);
    assert_int_equal(strlen(info->hash), 64);
    /* 87123144 of the backbone (golden/README) less the unused focalnet.layernorm, and the head:
     * batch norm 2 * 1024, linear 1024 -> 192 with bias, 50 class vectors of 192 */
    assert_int_equal(info->parameters, 87123144 - 2048 + 2048 + 192 * 1025 + 50 * 192);
    /* the paper: 15.4 G multiply-adds */
    assert_true(info->flops > 2 * 14.5e9 && info->flops < 2 * 16.5e9);
    model_close(m);
    model_close(NULL);
}

/* Config.json */

static const struct {
    const char *key, *value, *piece;
} bad_config[] = {
    {"model_type", "\"swin\"", "\"model_type\" is \"swin\"; allowed: \"focalnet\" or \"vit\""},
    {"model_type", "\"vit\"", "\"architectures\" is [\"FocalNetBackbone\"]; allowed: "},
    {"model_type", "7", "\"model_type\" is 7"},
    {"model_type", "\"\\u007f\\u009b\"", "\"model_type\" is \"?\\u009B\""},
    {"architectures", "[\"ViTModel\"]", "\"architectures\" is [\"ViTModel\"]"},
    {"architectures", "[null]", "\"architectures\" is [null]"},
    {"hidden_act", "\"relu\"", "\"hidden_act\" is \"relu\"; allowed: \"gelu\""},
    {"image_size", "0", "image_size is 0; allowed: 16 to 1024"},
    {"image_size", "1000000000", "image_size is 1e+09; allowed: 16 to 1024"},
    {"image_size", "[112, -4]", "image_size is -4; allowed: 16 to 1024"},
    {"image_size", "[112]", "\"image_size\" is [112]; allowed: an integer or [rows, columns]"},
    {"image_size", "[112, 112, 112]", "\"image_size\" is [112,112,112]"},
    {"image_size", "\"112\"", "\"image_size\" is \"112\""},
    {"image_size", "112.5", "\"image_size\" is 112.5"},
    {"patch_size", "0", "patch_size is 0; allowed: 1 to 32"},
    {"patch_size", "-9223372036854775808", "\"patch_size\" is -9223372036854775808"},
    {"patch_size", "4294967300", "\"patch_size\" is 4294967300; allowed: an integer"},
    {"num_channels", "0", "num_channels is 0"},
    {"num_channels", "1000", "num_channels is 1000"},
    {"embed_dim", "0", "embed_dim is 0"},
    {"embed_dim", "-32", "embed_dim is -32"},
    {"embed_dim", "2147483647", "embed_dim is 2.14748e+09"},
    {"embed_dim", "null", "\"embed_dim\" is null; allowed: an integer"},
    {"embed_dim", "\"\\u001b[2J\"", "\"embed_dim\" is \"\\u001B[2J\""},
    {"depths", "[]", "\"depths\" is []; allowed: an array of 1 to 8 integers"},
    {"depths", "[1,1,1,1,1,1,1,1,1]", "\"depths\" is [1,1,1,1,1,1,1,1,1]"},
    {"depths", "[1,1,0,1]", "depths is 0; allowed: 1 to 64"},
    {"depths", "[1,1,1000000,1]", "depths is 1e+06; allowed: 1 to 64"},
    {"depths", "[1,1,\"3\",1]", "\"depths\" is [1,1,\"3\",1]; allowed: an array of integers"},
    {"depths", "4", "\"depths\" is 4"},
    {"focal_levels", "[2,2,2]", "\"focal_levels\" is [2,2,2]"},
    {"focal_levels", "[2,2,2,9]", "focal_levels is 9; allowed: 1 to 8"},
    {"focal_levels", "[2,2,2,0]", "focal_levels is 0"},
    {"focal_windows", "[3,3,3,4]", "focal_windows is 4; allowed: odd"},
    {"focal_windows", "[3,3,3,1001]", "focal_windows is 1001"},
    {"mlp_ratio", "0", "mlp_ratio is 0"},
    {"mlp_ratio", "1e30", "mlp_ratio is 1e+30"},
    {"mlp_ratio", "true", "\"mlp_ratio\" is true; allowed: a number"},
    {"layer_norm_eps", "-1", "layer_norm_eps is -1"},
    {"use_conv_embed", "1", "\"use_conv_embed\" is 1; allowed: true or false"},
    {"use_layerscale", "\"yes\"", "\"use_layerscale\" is \"yes\""},
    /* in order by themselves, but not what model.safetensors holds */
    {"num_channels", "1", "focalnet.embeddings.patch_embeddings.projection.weight"},
    {"use_conv_embed", "false", "focalnet.embeddings.patch_embeddings.projection.weight"},
    {"depths", "[1,1,4,1]", "no tensor focalnet.encoder.stages.2.layers.3."},
    {"focal_levels", "[2,2,2,3]", "focalnet.encoder.stages.3.layers.0.modulation.projection_in"},
    {"focal_windows", "[3,3,5,3]", "focalnet.encoder.stages.2.layers.0.modulation.focal_layers.0"},
    {"mlp_ratio", "2", "focalnet.encoder.stages.0.layers.0.mlp.fc1.weight"},
    {"use_layerscale", "true", "focalnet.encoder.stages.0.layers.0.gamma_1"},
    {"use_post_layernorm_in_modulation", "true",
     "focalnet.encoder.stages.0.layers.0.modulation.layernorm.weight"},
};

/* The file with key set to value (absent where value is NULL). */
static void set_key_of(const char *path, const char *key, const char *value)
{
    json_t *o = json_load_file(path, 0, NULL);
    assert_non_null(o);
    json_object_del(o, key);
    if (value != NULL) {
        json_t *v = json_loads(value, JSON_DECODE_ANY, NULL);
        assert_non_null(v);
        json_object_set_new(o, key, v);
    }
    assert_int_equal(json_dump_file(o, path, 0), 0);
    json_decref(o);
}

static void set_key(const char *file, const char *key, const char *value)
{
    set_key_of(in_model(file).path, key, value);
}

static void an_absurd_config_is_refused_by_key_and_value(void **state)
{
    for (size_t i = 0; i < sizeof bad_config / sizeof *bad_config; i++) {
        bool in_weights = strstr(bad_config[i].piece, "focalnet.") != NULL;
        char *text;
        size_t n;
        text = read_bytes(in_model("config.json").path, &n);
        set_key("config.json", bad_config[i].key, bad_config[i].value);
        assert_refused(-EINVAL, in_weights ? "model.safetensors" : "config.json",
                       bad_config[i].piece);
        write_bytes(in_model("config.json").path, text, n);
        free(text);
    }
}

/* Refused when opened, as what cannot run is, by the file that says it. */
static void an_interpreters_keys_are_checked_against_the_classes(void **state)
{
    static const struct {
        const char *shared, *piece;
    } cases[] = {
        {"1000", "piq_shared_keys is 1000; allowed: 0 to 54"},
        {"55", "piq_shared_keys is 55; allowed: 0 to 54"},
        {"-1", "\"piq_shared_keys\" is -1; allowed: 0 or more"},
    };
    const struct piq_config few = {.keys = 9};
    struct place dir = in_scratch("keys");
    struct place config = in_scratch("keys/config.json");
    struct error error;
    struct model *m;
    (void)state;
    if (made_model(dir.path, made_focalnet, 10, 64, &error) < 0)
        fail_msg("%s", error.text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set_key_of(config.path, "piq_shared_keys", cases[i].shared);
        assert_int_equal(model_open(&m, dir.path, &error), -EINVAL);
        assert_line(&error, config.path, cases[i].piece, NULL);
    }
    set_key_of(config.path, "piq_shared_keys", "54");
    model_close(open_or_fail(dir.path));
    assert_int_equal(piq_check(&few, 10, &error), -EINVAL);
    assert_line(&error, "9 keys for 10 classes", NULL);
}

static void config_json_must_be_a_json_object_without_duplicates(void **state)
{
    static const char *const texts[][2] = {
        {"", "config.json:1: not JSON"},
        {"\n\n{,}", "config.json:3: not JSON"},
        {"[1]", "not a JSON object"},
        {"{\"embed_dim\": 32, \"embed_dim\": 64}", "duplicate"},
        {"{\"embed_dim\": 32} trailing", "not JSON"},
        {"{\"embed_dim\": 1e999}", "not JSON"},
        {"{\"a\x1b[2J\": 1}", "not JSON"},
        {"{\"embed_dim\": \x1b[2J}", "not JSON"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        write_bytes(in_model("config.json").path, texts[i][0], strlen(texts[i][0]));
        assert_refused(-EINVAL, "config.json", texts[i][1]);
    }
}

/* All ways in which hidden_sizes, which nothing reads, is published: Hugging Face's converter
 * leaves the default of the tiny geometry in the files of the larger ones. One image size for both
 * sides, or two. */
static void honest_variants_of_a_config_are_accepted(void **state)
{
    static const struct {
        const char *key, *value;
        int rows, cols;
    } variants[] = {
        {"hidden_sizes", "[32, 64, 128, 256]", 112, 112},
        {"hidden_sizes", "[64, 128, 256, 256]", 112, 112},
        {"hidden_sizes", "[192, 384, 768, 768]", 112, 112},
        {"hidden_sizes", NULL, 112, 112},
        {"model_type", NULL, 112, 112},
        {"architectures", "[\"FocalNetForImageClassification\"]", 112, 112},
        {"image_size", "[64, 160]", 64, 160},
        {"image_size", "113", 113, 113},
        {"unknown_to_us", "{\"a\": []}", 112, 112},
        {"focal_windows", NULL, 112, 112}, /* Hugging Face's defaults: 3 and 2 */
        {"focal_levels", NULL, 112, 112},
    };
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        copy_model(state);
        set_key("config.json", variants[i].key, variants[i].value);
        struct model *m = open_or_fail(model_dir.path);
        assert_int_equal(model_info(m)->image_rows, variants[i].rows);
        assert_int_equal(model_info(m)->image_cols, variants[i].cols);
        model_close(m);
    }
}

static void the_published_config_is_understood(void **state)
{
    size_t n;
    struct error error = {""};
    struct net_config net = {.kind = NET_FOCALNET};
    struct place p = golden("checkpoints/config.json");
    char *text = read_bytes(p.path, &n);
    if (net_config_parse(&net, text, n, p.path, &error) < 0)
        fail_msg("%s", error.text);
    free(text);
    const struct focalnet_config c = net.focalnet;
    assert_int_equal(net.kind, NET_FOCALNET);
    assert_int_equal(c.embed_dim, 16);
    assert_int_equal(c.n_stages, 4);
    assert_int_equal(c.depths[2], 2);
    assert_int_equal(c.image_rows, 64);
}

/* Labels.txt, preprocess.json, the directory */

static void labels_must_be_one_text_a_class(void **state)
{
    size_t n;
    char *text = read_bytes(in_model("labels.txt").path, &n), wanted[200];
    struct place p = in_model("labels.txt");
    write_bytes(p.path, text, (size_t)(strchr(text, '\n') + 1 - text)); /* only the first */
    struct model *m = open_or_fail(in_source("tests/data/baseline").path);
    int classes = model_info(m)->n_classes;
    model_close(m);
    snprintf(wanted, sizeof wanted,
             "has 1 labels, but classifier.weight in model.safetensors has %d", classes);
    assert_refused(-EINVAL, "labels.txt", wanted);
    write_bytes(p.path, "", 0);
    assert_refused(-EINVAL, "labels.txt", "0 labels");

    static const struct {
        const char *text;
        size_t length;
        const char *piece;
    } bad[] = {
        {"a\n\nb\n", 5, "labels.txt:2: allowed: one label a line"},
        {"a\n  \nb\n", 7, "labels.txt:2: "},
        {"a\nb\na\n", 6, "the label a stands twice"},
        {"a\nb\x1b[2J\n", 8, "labels.txt:2: "},
        {"a\tb\n", 4, "labels.txt:1: "},
        {"a\n\xff\xfe\n", 5, "labels.txt:2: "},
        {"caf\xc3\n", 5, "labels.txt:1: "},
        {"\xc0\xaf\n", 3, "labels.txt:1: "},     /* overlong */
        {"\xed\xa0\x80\n", 4, "labels.txt:1: "}, /* a surrogate */
        {"\xc2\x9b"
         "2J\n",
         5, "labels.txt:1: "}, /* the one-byte CSI */
        {"a\nb\0c", 5, "bytes of zero"},
        {"a\0\nb\n", 5, "bytes of zero"},
        {"\n", 1, "labels.txt:1: "},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_bytes(p.path, bad[i].text, bad[i].length);
        assert_refused(-EINVAL, "labels.txt", bad[i].piece);
    }
    char label[300];
    memset(label, 'x', sizeof label);
    write_bytes(p.path, label, sizeof label);
    assert_refused(-EINVAL, "labels.txt", "1 to 255 bytes");
    free(text);
}

static const struct {
    const char *key, *value, *piece;
} bad_preprocess[] = {
    {"sample_rat", "16000", "unknown key \"sample_rat\"; allowed: sample_rate"},
    {"sample_rate", "0", "sample_rate is 0; allowed: 4000 to 192000"},
    {"sample_rate", "\"16 kHz\"", "\"sample_rate\" is \"16 kHz\"; allowed: an integer"},
    {"window_s", "0", "window_s is 0; allowed"},
    {"window_s", "-5", "window_s is -5"},
    {"window_s", "1e30", "window_s is 1e+30"},
    {"n_fft", "0", "n_fft is 0"},
    {"n_fft", "1023", "n_fft is 1023; allowed: even"},
    {"n_fft", "1073741824", "n_fft is 1073741824"},
    {"n_fft", "16384", "n_fft is 16384; allowed: even, 16 to 16382"}, /* 8193 bins */
    {"win_length", "0", "win_length is 0"},
    {"win_length", "2048", "win_length is 2048"},
    {"hop_length", "0", "hop_length is 0"},
    {"hop_length", "-186", "hop_length is -186"},
    {"hop_length", "100000", "hop_length is 100000"},
    {"normalize", "\"rms\"", "\"normalize\" is \"rms\"; allowed: max"},
    {"resize", "\"bicubic\"", "\"resize\" is \"bicubic\""},
    {"head", "\"linear\"", "\"head\" is \"linear\""},
    {"antialias", "1", "\"antialias\" is 1; allowed: true or false"},
    {"reject", "0.5", "\"reject\" is 0.5; allowed: {\"score\""},
    {"reject", "{\"score\": \"cosine\"}",
     "\"reject\" is {\"score\":\"cosine\"}; allowed: {\"score\""},
    {"reject", "{\"score\": \"cosine\", \"below\": 0.5, \"x\": 1}", "allowed: {\"score\""},
    {"reject", "{\"score\": 1, \"below\": 0.5}", "allowed: {\"score\""},
    {"reject", "{\"score\": \"loud\", \"below\": 0.5}",
     "reject: score is \"loud\"; allowed: cosine"},
    {"reject", "{\"score\": \"cosine\", \"below\": \"a\"}", "reject: \"below\" is \"a\"; allowed"},
    {"reject", "{\"score\": \"cosine\", \"below\": 1.1}",
     "below is 1.1; allowed for cosine: -1 to 1"},
    {"reject", "{\"score\": \"margin\", \"below\": -0.1}", "allowed for margin: 0 to 2"},
    {"reject", "{\"score\": \"probability\", \"below\": 2}", "allowed for probability: 0 to 1"},
    {"reject", "{\"score\": \"energy\", \"below\": 1e300}", "allowed for energy: -1 to 20"},
    {"scale", "0", "scale is 0"},
    {"scale", "1e300", "scale is inf"},
};

static void preprocessing_out_of_bounds_is_refused_by_key(void **state)
{
    for (size_t i = 0; i < sizeof bad_preprocess / sizeof *bad_preprocess; i++) {
        size_t n;
        char *text = read_bytes(in_model("preprocess.json").path, &n);
        set_key("preprocess.json", bad_preprocess[i].key, bad_preprocess[i].value);
        assert_refused(-EINVAL, "preprocess.json", bad_preprocess[i].piece);
        write_bytes(in_model("preprocess.json").path, text, n);
        free(text);
    }
}

static void a_missing_or_strange_file_is_named(void **state)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct place p = in_model(files[i]);
        bool optional = strcmp(files[i], "preprocess.json") == 0;
        assert_int_equal(remove(p.path), 0);
        if (!optional)
            assert_refused(-ENOENT, files[i], "No such file");
        alarm(20);
        assert_int_equal(mkfifo(p.path, 0600), 0);
        assert_refused(-EINVAL, files[i], "not a regular file");
        alarm(0);
        remove(p.path);
        assert_int_equal(mkdir(p.path, 0700), 0);
        assert_refused(-EINVAL, files[i], "not a regular file");
        copy_model(state);
    }
    assert_int_equal(truncate(in_model("labels.txt").path, 100 << 20), 0);
    assert_refused(-EINVAL, "labels.txt", "104857600 bytes; allowed: up to");
}

static void weights_that_are_cut_or_foreign_are_refused(void **state)
{
    size_t n;
    struct place p = in_model("model.safetensors");
    char *bytes = read_bytes(p.path, &n);
    assert_int_equal(truncate(p.path, (off_t)n - 4), 0);
    assert_refused(-EINVAL, "model.safetensors", "data_offsets of tensor");
    /* another name of the same length: the class vectors are gone, or a weight is */
    char *name = memmem(bytes, n, "\"classifier.weight\"", 19);
    assert_non_null(name);
    name[1] = 'k';
    write_bytes(p.path, bytes, n);
    assert_refused(-EINVAL, "model.safetensors", "no tensor classifier.weight");
    name[1] = 'c';
    name = memmem(bytes, n, "\"classifier.blocks.0.norm.", 26);
    assert_non_null(name);
    name[1] = 'k';
    write_bytes(p.path, bytes, n);
    assert_refused(-EINVAL, "model.safetensors", "no tensor classifier.blocks.0.norm");
    free(bytes);
}

static void what_is_no_model_directory_is_refused(void **state)
{
    struct place whole = model_dir;
    model_dir = in_scratch("absent");
    assert_refused(-ENOENT, "absent", "--model takes a directory");
    model_dir = in_scratch("model/labels.txt");
    assert_refused(-EINVAL, "labels.txt", "is not a directory");
    model_dir = in_scratch("");
    assert_refused(-ENOENT, "model.safetensors", "No such file");
    model_dir = whole;
    struct model *m;
    struct error error;
    assert_int_equal(model_open(&m, "", &error), -ENOENT);
    static char deep[6000];
    memset(deep, '/', sizeof deep - 1);
    assert_int_equal(model_open(&m, deep, &error), -ENAMETOOLONG);
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup(test, copy_model)
    const struct CMUnitTest tests[] = {
        FRESH(a_trained_model_opens_and_is_described_rightly),
        FRESH(the_name_is_the_directorys_last),
        FRESH(absent_preprocessing_takes_the_designs),
        FRESH(preprocessing_is_taken_from_its_file),
        FRESH(weights_that_are_not_finite_are_refused),
        FRESH(labels_of_windows_editors_are_the_same),
        FRESH(the_built_in_geometry_is_focalnet_base),
        FRESH(an_absurd_config_is_refused_by_key_and_value),
        FRESH(an_interpreters_keys_are_checked_against_the_classes),
        FRESH(config_json_must_be_a_json_object_without_duplicates),
        FRESH(honest_variants_of_a_config_are_accepted),
        FRESH(the_published_config_is_understood),
        FRESH(labels_must_be_one_text_a_class),
        FRESH(preprocessing_out_of_bounds_is_refused_by_key),
        FRESH(a_missing_or_strange_file_is_named),
        FRESH(weights_that_are_cut_or_foreign_are_refused),
        FRESH(what_is_no_model_directory_is_refused),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
