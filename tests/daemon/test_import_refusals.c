/* SPDX-License-Identifier: Apache-2.0
 * What does not fit, is damaged, hostile or cut off: one line that says why, exit status 1, and
 * nothing written. */
#include "tests/daemon/import_run.h"

#include <signal.h>
#include <time.h>

#include "model/import/labels.h"
#include "tests/model/checkpoints.h"

static struct place tiny(void)
{
    return golden("focalnet_tiny.safetensors");
}

/* Imports src and expects a line with the pieces (ended by NULL), and nothing else. */
static void assert_refused(const char *src, const char *piece, const char *another)
{
    struct place dest = in_scratch("refused");
    focald("import", src, dest.path, NULL);
    if (last.status != 1)
        fail_msg("%s: status %d, not 1: %s", src, last.status, last.err.text);
    assert_line(&last.err, "focald: ", piece, another, NULL);
    assert_nothing_written(dest.path);
}

static struct place hugging_face(const struct recipe *recipe)
{
    struct place src = new_dir("src");
    make_file(in_dir(src.path, "model.safetensors").path, tiny().path, recipe);
    copy_file(golden("checkpoints/config.json").path, in_dir(src.path, "config.json").path);
    copy_file(golden("checkpoints/label_encoder.txt").path,
              in_dir(src.path, "label_encoder.txt").path);
    return src;
}

/* Files */

static void damaged_and_hostile_files_are_refused(void **state)
{
    static const struct {
        const char *file, *as, *piece;
    } files[] = {
        {"evil.ckpt", "classifier.ckpt", "posix.system"},
        {"evil_legacy.ckpt", "classifier.ckpt", "posix.system"},
        {"truncated.ckpt", "classifier.ckpt", "classifier.ckpt"},
        {"odd_tensors.ckpt", "classifier.ckpt", "classifier.weight"},
        {"odd_tensors_legacy.ckpt", "embedding_model.ckpt", "embedding_model.ckpt"},
        {"evil.ckpt", "embedding_model.ckpt", "posix.system"},
        {"evil_legacy.ckpt", "psi_model.ckpt", "posix.system"},
        {"odd_tensors.ckpt", "psi_model.ckpt", "psi.codebook.embedding.weight"},
        {"label_encoder.txt", "embedding_model.ckpt", "embedding_model.ckpt"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[128];
        struct place src = make_release("src");
        snprintf(path, sizeof path, "checkpoints/%s", files[i].file);
        copy_file(golden(path).path, in_dir(src.path, files[i].as).path);
        assert_refused(src.path, files[i].piece, NULL);
    }
    static const char *const damaged[] = {"truncated.safetensors", "bad_offsets.safetensors",
                                          "overflow_shape.safetensors", "huge_header.safetensors"};
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        char path[128];
        struct place src = hugging_face(&(struct recipe){as_it_is, DTYPE_F32});
        snprintf(path, sizeof path, "checkpoints/%s", damaged[i]);
        copy_file(golden(path).path, in_dir(src.path, "model.safetensors").path);
        assert_refused(src.path, "model.safetensors", NULL);
    }
    assert_int_not_equal(access("/tmp/focald-evil", F_OK), 0);
}

static void a_source_that_is_none_is_named(void **state)
{
    assert_refused(in_scratch("nowhere").path, "nowhere", "No such file");
    assert_refused(new_dir("src").path, "holds no checkpoint", "model.safetensors");
    struct place src = hugging_face(&(struct recipe){as_it_is, DTYPE_F32});
    assert_refused(in_dir(src.path, "config.json").path, "unknown kind of file", ".ckpt");
    write_text(in_dir(src.path, "config.json").path, "{");
    assert_refused(src.path, "config.json", "not JSON");
    write_text(in_dir(src.path, "config.json").path, "{\"model_type\": \"bert\"}");
    assert_refused(src.path, "config.json", "bert");
    write_text(in_dir(src.path, "config.json").path, "{\"model_type\": \"vit\"}");
    assert_refused(src.path, "names of a focalnet", "config.json says vit");
}

static void one_file_imports_with_what_lies_beside_it(void **state)
{
    struct place src = hugging_face(&(struct recipe){as_it_is, DTYPE_F32});
    struct place dest = in_scratch("one");
    focald_succeeds("import", in_dir(src.path, "model.safetensors").path, dest.path);
    assert_weights_of(in_dir(dest.path, "model.safetensors").path, tiny().path);
}

/* Shards */

static void a_bad_index_is_refused(void **state)
{
    static const struct {
        const char *text, *piece, *another;
    } indices[] = {
        {"no json", "model.safetensors.index.json", "not JSON"},
        {"[1]", "model.safetensors.index.json", "not a JSON object"},
        {"{}", "weight_map", NULL},
        {"{\"weight_map\": {\"a\": \"../model.safetensors\"}}", "../model.safetensors",
         "same directory"},
        {"{\"weight_map\": {\"a\": \"/etc/passwd\"}}", "/etc/passwd", "same directory"},
        {"{\"weight_map\": {\"a\": \"..\"}}", "..", "same directory"},
        {"{\"weight_map\": {\"a\": 7}}", "same directory", NULL},
        {"{\"weight_map\": {\"a\": \"nowhere.safetensors\"}}", "nowhere.safetensors",
         "No such file"},
        {"{\"weight_map\": {\"a\": \"half.safetensors\"}}", "tensor a is not in half.safetensors",
         NULL},
        {"{\"weight_map\": {\"focalnet.embeddings.norm.weight\": \"half.safetensors\", "
         "\"focalnet.embeddings.norm.bias\": \"whole.safetensors\"}}",
         "half.safetensors", "as well"},
        {"{\"weight_map\": {\"a\\nb\": \"../c\"}}", "model.safetensors.index.json",
         "control characters"},
        {"{\"weight_map\": {\"a\\u001b[31m\": \"whole.safetensors\"}}",
         "model.safetensors.index.json", "control characters"},
        {"{\"weight_map\": {\"a\": \"who\\nle.safetensors\"}}", "model.safetensors.index.json",
         "same directory"},
    };
    for (size_t i = 0; i < sizeof indices / sizeof *indices; i++) {
        struct place src = hugging_face(&(struct recipe){as_it_is, DTYPE_F32});
        struct place whole = in_dir(src.path, "whole.safetensors");
        struct place half = in_dir(src.path, "half.safetensors");
        rename(in_dir(src.path, "model.safetensors").path, whole.path);
        copy_file(whole.path, half.path);
        write_text(in_dir(src.path, "model.safetensors.index.json").path, indices[i].text);
        assert_refused(src.path, indices[i].piece, indices[i].another);
    }
}

/* Links */

/* A hub's cache is links into a store; a part that was never fetched is not one that is absent. */
static void a_link_that_leads_nowhere_is_told(void **state)
{
    static const char *const files[] = {
        "config.json",     "label_encoder.txt", "labels.txt",          "preprocess.json",
        "classifier.ckpt", "psi_model.ckpt",    "embedding_model.ckpt"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct place src = make_release("src"), link = in_dir(src.path, files[i]);
        unlink(link.path);
        assert_int_equal(symlink("blobs/0123", link.path), 0);
        assert_refused(src.path, files[i], "No such file");
    }
}

/* What does not fit */

static bool without_some(const char *name, char *ret, size_t size)
{
    return strstr(name, "stages.1.layers.0.norm") == NULL && as_it_is(name, ret, size);
}

static bool with_a_layer_more(const char *name, char *ret, size_t size)
{
    as_it_is(name, ret, size);
    char *last_bias = strstr(ret, "focalnet.layernorm.bias");
    if (last_bias != NULL)
        snprintf(ret, size, "focalnet.encoder.stages.3.layers.1.norm1.bias");
    return true;
}

static bool all_the_same(const char *name, char *ret, size_t size)
{
    return as_it_is(strstr(name, "norm2.bias") != NULL && strstr(name, "stages.0") != NULL
                        ? "model.focalnet.encoder.stages.0.layers.0.norm1.bias"
                        : name,
                    ret, size);
}

static void replace_in(const char *path, const char *what, const char *with)
{
    size_t n;
    char *text = read_bytes(path, &n), *at = strstr(text, what), *whole;
    assert_non_null(at);
    assert_true(asprintf(&whole, "%.*s%s%s", (int)(at - text), text, with, at + strlen(what)) > 0);
    write_text(path, whole);
    free(whole);
    free(text);
}

static void a_tensor_that_does_not_fit_is_told_with_both_shapes(void **state)
{
    struct place src = hugging_face(&(struct recipe){as_it_is, DTYPE_F32});
    struct place config = in_dir(src.path, "config.json");
    write_text(config.path, "{\"model_type\": \"focalnet\", \"image_size\": 64, \"embed_dim\": 32, "
                            "\"depths\": [1, 1, 2, 1]}");
    assert_refused(src.path, "is [16, 3, 4, 4]; expected: [32, 3, 4, 4]",
                   "(config.json: embed_dim 32)");
    write_text(config.path, "{\"model_type\": \"focalnet\", \"image_size\": 64, \"embed_dim\": 16, "
                            "\"focal_windows\": [5, 3, 3, 3], \"depths\": [1, 1, 2, 1]}");
    assert_refused(src.path, "[16, 1, 3, 3]; expected: [16, 1, 5, 5]", "focal_windows [5,3,3,3]");
    write_text(config.path, "{\"model_type\": \"focalnet\", \"image_size\": 64, \"embed_dim\": 16, "
                            "\"depths\": [1, 1, 3, 1]}");
    assert_refused(src.path, "lacks 16 tensors", "stages.2.layers.2.norm1.weight");
    write_text(config.path, "{\"model_type\": \"focalnet\", \"image_size\": 64, \"embed_dim\": 16, "
                            "\"depths\": [1, 1, 1, 1]}");
    assert_refused(src.path, "focalnet.encoder.stages.2.layers.1.", "no place in the network");
}

static void missing_doubled_and_surplus_tensors_are_named(void **state)
{
    struct place src = hugging_face(&(struct recipe){without_some, DTYPE_F32});
    assert_refused(src.path, "lacks 4 tensors", "focalnet.encoder.stages.1.layers.0.norm1.weight");
    focald("import", "--dry-run", src.path, NULL);
    assert_int_equal(last.status, 1);
    assert_told("missing: focalnet.encoder.stages.1.layers.0.norm2.bias");
    assert_told("It does not fit");
    src = hugging_face(&(struct recipe){with_a_layer_more, DTYPE_F32});
    assert_refused(src.path, "stages.3.layers.1.norm1.bias", "no place in the network");
    src = hugging_face(&(struct recipe){all_the_same, DTYPE_F32});
    assert_refused(src.path, "would both be focalnet.encoder.stages.0.layers.0.norm1.bias", NULL);
    src = make_release("src");
    copy_file(golden("checkpoints/nested.ckpt").path,
              in_dir(src.path, "embedding_model.ckpt").path);
    assert_refused(src.path, "embedding_model.ckpt", "FocalNet's or a ViT's name");
}

/* A view of one element as a whole network: with strides of zero it fits every shape. */
static void a_small_file_does_not_become_a_large_model(void **state)
{
    static const struct {
        const char *name;
        int rank;
        int64_t shape[4];
    } weights[] = {
        {"embeddings.patch_embeddings.projection.weight", 4, {8192, 3, 16, 16}},
        {"embeddings.patch_embeddings.projection.bias", 1, {8192}},
        {"embeddings.cls_token", 3, {1, 1, 8192}},
        {"embeddings.position_embeddings", 3, {1, 2, 8192}},
        {"encoder.layer.0.attention.attention.query.weight", 2, {8192, 8192}},
        {"encoder.layer.0.attention.attention.query.bias", 1, {8192}},
        {"encoder.layer.0.attention.attention.key.weight", 2, {8192, 8192}},
        {"encoder.layer.0.attention.attention.key.bias", 1, {8192}},
        {"encoder.layer.0.attention.attention.value.weight", 2, {8192, 8192}},
        {"encoder.layer.0.attention.attention.value.bias", 1, {8192}},
        {"encoder.layer.0.attention.output.dense.weight", 2, {8192, 8192}},
        {"encoder.layer.0.attention.output.dense.bias", 1, {8192}},
        {"encoder.layer.0.intermediate.dense.weight", 2, {8192, 8192}},
        {"encoder.layer.0.intermediate.dense.bias", 1, {8192}},
        {"encoder.layer.0.output.dense.weight", 2, {8192, 8192}},
        {"encoder.layer.0.output.dense.bias", 1, {8192}},
        {"encoder.layer.0.layernorm_before.weight", 1, {8192}},
        {"encoder.layer.0.layernorm_before.bias", 1, {8192}},
        {"encoder.layer.0.layernorm_after.weight", 1, {8192}},
        {"encoder.layer.0.layernorm_after.bias", 1, {8192}},
        {"layernorm.weight", 1, {8192}},
        {"layernorm.bias", 1, {8192}},
    };
    enum { N = sizeof weights / sizeof *weights };
    static struct bytes pickle;
    static const float one = 1;
    struct made_tensor tensors[N] = {0};
    struct place src = new_dir("bomb");
    for (size_t i = 0; i < N; i++) {
        tensors[i] = (struct made_tensor){.name = weights[i].name,
                                          .storage = "FloatStorage",
                                          .key = "0",
                                          .numel = 1,
                                          .rank = weights[i].rank};
        memcpy(tensors[i].shape, weights[i].shape, sizeof weights[i].shape);
    }
    put_tensors(&pickle, tensors, N);
    const struct member members[] = {{"archive/data.pkl", pickle.at, pickle.n, false, false},
                                     {"archive/data/0", &one, sizeof one, false, false},
                                     {0}};
    write_zip(in_dir(src.path, "pytorch_model.bin").path, members);
    assert_refused(src.path, "pytorch_model.bin", "repeat their values");
}

static void a_number_beyond_float32_is_refused(void **state)
{
    struct place src = hugging_face(&(struct recipe){as_it_is, DTYPE_F64});
    struct place file = in_dir(src.path, "model.safetensors");
    const double much = 1e300;
    size_t n;
    char *bytes = read_bytes(file.path, &n);
    memcpy(bytes + n - sizeof much, &much, sizeof much);
    write_bytes(file.path, bytes, n);
    free(bytes);
    assert_refused(src.path, "model.safetensors: tensor", "float32");
}

/* As a copy, value by value, and of each type. */
static void weights_that_are_not_finite_are_refused_by_their_name(void **state)
{
    static const struct {
        enum safetensors_dtype dtype;
        unsigned char last[8]; /* of the file's bytes, little-endian */
    } cases[] = {{DTYPE_F32, {0, 0, 0xc0, 0x7f}},
                 {DTYPE_F32, {0, 0, 0x80, 0xff}},
                 {DTYPE_F16, {0, 0x7c}},
                 {DTYPE_BF16, {0xc0, 0x7f}},
                 {DTYPE_F64, {0, 0, 0, 0, 0, 0, 0xf8, 0x7f}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct place src = hugging_face(&(struct recipe){as_it_is, cases[i].dtype});
        struct place file = in_dir(src.path, "model.safetensors");
        size_t n, width = dtype_size(cases[i].dtype);
        char *bytes = read_bytes(file.path, &n);
        memcpy(bytes + n - width, cases[i].last, width);
        write_bytes(file.path, bytes, n);
        free(bytes);
        assert_refused(src.path, file.path, "of tensor");
    }
}

static bool with_a_terminals_escape(const char *name, char *ret, size_t size)
{
    return as_it_is(strcmp(name, "focalnet.layernorm.bias") == 0 ? "x\xc2\x9b"
                                                                   "31m"
                                                                 : name,
                    ret, size);
}

static void names_do_not_reach_the_terminal_as_escapes(void **state)
{
    struct place src = hugging_face(&(struct recipe){with_a_terminals_escape, DTYPE_F32});
    assert_refused(src.path, "model.safetensors", "control characters");
}

/* Labels */

static void labels_that_do_not_fit_the_classifier_are_refused(void **state)
{
    struct place src = make_release("src"), encoder = in_dir(src.path, "label_encoder.txt");
    replace_in(encoder.path, "'dog' => 15\n", "");
    assert_refused(src.path, "label_encoder.txt", "none with index 15");
    replace_in(encoder.path, "'frog' => 9", "'frog' => 8");
    assert_refused(src.path, "label_encoder.txt:10", "index 8 is that of 'snoring' and 'frog'");
    replace_in(encoder.path, "'frog' => 8", "'frog' => 50");
    assert_refused(src.path, "label_encoder.txt:10", "50 classes");
    replace_in(encoder.path, "'frog' => 50", "'' => 9");
    assert_refused(src.path, "label_encoder.txt:10", "1 to 255 bytes");
    unlink(encoder.path);
    assert_refused(src.path, "--labels FILE", "50 classes");
    replace_in(in_dir(src.path, "config.json").path, "{", "{\"id2label\": {\"0\": \"one\"},");
    assert_refused(src.path, "id2label has 1 labels", "50 classes");
    write_text(in_dir(src.path, "labels.txt").path, "one\ntwo\n");
    assert_refused(src.path, "labels.txt has 2 labels", "50 classes");
}

static void assert_encoder(const char *text, int classes, const char *expected)
{
    char *labels = NULL;
    struct error error = {""};
    int r = labels_from_encoder(&labels, text, strlen(text), classes, "label_encoder.txt", &error);
    if (r < 0)
        fail_msg("%s: %s", text, error.text);
    assert_string_equal(labels, expected);
    free(labels);
}

static void labels_are_read_as_python_writes_them(void **state)
{
    assert_encoder("'b' => 1\n'a' => 0\n================\n'starting_index' => 0\n", 2, "a\nb\n");
    assert_encoder("'b' => 2\n'a' => 1\n================\n'starting_index' => 1\n", 2, "a\nb\n");
    assert_encoder("\"it's\" => 0\n'a => b' => 1\n", 2, "it's\na => b\n");
    assert_encoder("'say \\'\"hi\"\\' \\\\' => 0\n", 1, "say '\"hi\"' \\\n");
    assert_encoder("'caf\\xe9 \\u20ac \\U0001f436 \\101' => 0\r\n", 1,
                   "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb6 A\n");
    assert_encoder("7 => 0\n'<unk>' => 1\n================\n'starting_index' => 0\n"
                   "'unk_label' => '<unk>'\n",
                   2, "7\n<unk>\n");
    static const char *const bad[] = {
        "dog => 0\n",
        "'dog' = 0\n",
        "'dog' => x\n",
        "'dog => 0\n",
        "'d\\qg' => 0\n",
        "'d\\ng' => 0\n",
        "'d\\x1bg' => 0\n",
        "'' => 0\n",
        "'d' => -1\n",
        "'d\\x0' => 0\n",
        "'\\ud800' => 0\n",
        "'d' => 99999999999999999999\n",
        "'d\\",
        "",
        "'d' => 0\n====\n'starting_index' => -9223372036854775808\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *labels = NULL;
        struct error error = {""};
        int r = labels_from_encoder(&labels, bad[i], strlen(bad[i]), 1, "encoder", &error);
        if (r != -EINVAL)
            fail_msg("%s is taken", bad[i]);
        assert_line(&error, "encoder", NULL);
        assert_null(labels);
    }
}

/* The place to write to */

static void nothing_but_a_model_is_replaced_and_only_by_force(void **state)
{
    struct place src = make_release("src"), dest = new_dir("taken");
    struct place keep = in_dir(dest.path, "notes.txt");
    write_text(keep.path, "mine");
    focald("import", src.path, dest.path, NULL);
    assert_int_equal(last.status, 1);
    assert_line(&last.err, "there already", "--force", NULL);
    focald("import", "--force", src.path, dest.path, NULL);
    assert_int_equal(last.status, 1);
    assert_line(&last.err, "other things than a model", NULL);
    assert_int_equal(access(keep.path, F_OK), 0);
    unlink(keep.path);
    focald_succeeds("import", "--force", src.path, dest.path);
    focald_succeeds("import", "--force", "--antialias", "yes", src.path, dest.path);
    assert_told("antialias:   yes");
    write_text(in_scratch("plain").path, "mine");
    focald("import", "--force", src.path, in_scratch("plain").path, NULL);
    assert_int_equal(last.status, 1);
    assert_line(&last.err, "no directory", NULL);
}

static void source_and_destination_stay_apart(void **state)
{
    struct place src = make_release("src"), inside = in_dir(src.path, "model");
    assert_refused(new_dir("empty").path, "holds no checkpoint", NULL);
    focald("import", src.path, inside.path, NULL);
    assert_int_equal(last.status, 1);
    assert_line(&last.err, "lies in", NULL);
    assert_int_not_equal(access(inside.path, F_OK), 0);
    struct place model = in_scratch("model");
    focald_succeeds("import", src.path, model.path);
    focald("import", "--force", model.path, model.path, NULL);
    assert_int_equal(last.status, 1);
    assert_line(&last.err, "which is read", NULL);
    focald("import", src.path, in_scratch("no/such/place").path, NULL);
    assert_int_equal(last.status, 1);
    assert_line(&last.err, "No such file", NULL);
}

static void export_takes_models_only(void **state)
{
    struct place src = make_release("src"), dest = in_scratch("exported");
    focald("export", src.path, dest.path, NULL);
    assert_int_equal(last.status, 1);
    assert_line(&last.err, "focald import", NULL);
    assert_nothing_written(dest.path);
    focald("export", in_scratch("nowhere").path, dest.path, NULL);
    assert_int_equal(last.status, 1);
    assert_line(&last.err, "nowhere", NULL);
}

/* Cut off */

static void a_full_disk_leaves_nothing(void **state)
{
    struct place src = make_release("src"), dest = in_scratch("full");
    static const long limits[] = {0, 1000, 900000, 1600000};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        file_limit = limits[i] > 4096 ? limits[i] : 4096; /* the line on stderr is a file too */
        focald("import", src.path, dest.path, NULL);
        assert_int_equal(last.status, 1);
        assert_line(&last.err, dest.path, "File too large", NULL);
        assert_nothing_written(dest.path);
    }
    struct place model = in_scratch("model-full");
    focald_succeeds("import", src.path, model.path);
    file_limit = 900000;
    focald("export", model.path, dest.path, NULL);
    assert_int_equal(last.status, 1);
    assert_nothing_written(dest.path);
}

/* Whenever the signal comes, there is the whole model or nothing. */
static void a_signal_leaves_all_or_nothing(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT};
    struct place src = in_source("tests/data/baseline"), dest = in_scratch("signalled");
    int cut_off = 0;
    for (int i = 0; i < 30; i++) {
        char *arguments[] = {getenv("FOCALD"), "import", src.path, dest.path, NULL};
        pid_t pid = start_focald(arguments);
        struct timespec pause = {.tv_nsec = i * 4000000};
        nanosleep(&pause, NULL);
        kill(pid, signals[i % 2]);
        wait_focald(pid);
        if (access(dest.path, F_OK) == 0) {
            assert_same_file(in_dir(dest.path, "model.safetensors").path,
                             in_dir(src.path, "model.safetensors").path);
            assert_same_file(in_dir(dest.path, "labels.txt").path,
                             in_dir(src.path, "labels.txt").path);
            nftw(dest.path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        } else {
            assert_int_equal(last.status, 128 + signals[i % 2]);
            cut_off++;
        }
        assert_nothing_written(dest.path);
    }
    print_message("%d of 30 were cut off\n", cut_off);
}

static void mistakes_on_the_command_line_exit_with_2(void **state)
{
    static const char *const wrong[][2] = {{"--antialias", "perhaps"},
                                           {"--heads", "none"},
                                           {"--image-size", "12x"},
                                           {"--image-size", "0"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        focald("import", wrong[i][0], wrong[i][1], "a", "b", NULL);
        assert_int_equal(last.status, 2);
        assert_line(&last.err, wrong[i][0], wrong[i][1], NULL);
    }
    focald("import", "a", NULL);
    assert_int_equal(last.status, 2);
    focald("export", "a", "b", "c", NULL);
    assert_int_equal(last.status, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_and_hostile_files_are_refused),
        cmocka_unit_test(a_source_that_is_none_is_named),
        cmocka_unit_test(one_file_imports_with_what_lies_beside_it),
        cmocka_unit_test(a_bad_index_is_refused),
        cmocka_unit_test(a_link_that_leads_nowhere_is_told),
        cmocka_unit_test(a_tensor_that_does_not_fit_is_told_with_both_shapes),
        cmocka_unit_test(missing_doubled_and_surplus_tensors_are_named),
        cmocka_unit_test(a_small_file_does_not_become_a_large_model),
        cmocka_unit_test(a_number_beyond_float32_is_refused),
        cmocka_unit_test(weights_that_are_not_finite_are_refused_by_their_name),
        cmocka_unit_test(names_do_not_reach_the_terminal_as_escapes),
        cmocka_unit_test(labels_that_do_not_fit_the_classifier_are_refused),
        cmocka_unit_test(labels_are_read_as_python_writes_them),
        cmocka_unit_test(nothing_but_a_model_is_replaced_and_only_by_force),
        cmocka_unit_test(source_and_destination_stay_apart),
        cmocka_unit_test(export_takes_models_only),
        cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(a_signal_leaves_all_or_nothing),
        cmocka_unit_test(mistakes_on_the_command_line_exit_with_2),
    };
    int failed = cmocka_run_group_tests(tests, make_scratch, remove_scratch);
    free(last.out);
    return failed;
}
