/* SPDX-License-Identifier: Apache-2.0
 * What import and export make of honest sources: the same weights in every form they are published
 * in, the right labels, and nothing changed on the way there and back. */
#include "tests/daemon/import_run.h"

#include "model/model.h"
#include "tests/model/checkpoints.h"
#include "tests/model/made_model.h"

static struct place tiny(void)
{
    return golden("focalnet_tiny.safetensors");
}

static struct model *open_or_fail(const char *dir)
{
    struct model *m;
    struct error error;
    if (model_open(&m, dir, &error) < 0)
        fail_msg("%s", error.text);
    return m;
}

/* SpeechBrain */

static void assert_tiny_labels(const char *dest)
{
    struct model *m = open_or_fail(dest);
    const struct model_info *info = model_info(m);
    assert_int_equal(info->n_classes, 50);
    assert_string_equal(info->labels[0], "sea_waves"); /* label_encoder.txt, not ESC-50's order */
    assert_string_equal(info->labels[15], "dog");
    assert_string_equal(info->labels[49], "hand_saw");
    model_close(m);
}

static void a_speechbrain_release_becomes_a_model(void **state)
{
    struct place src = make_release("release"), dest = in_scratch("release-model");
    focald_succeeds("import", src.path, dest.path);
    assert_weights_of(in_dir(dest.path, "model.safetensors").path, tiny().path);
    assert_same_file(in_dir(dest.path, "config.json").path, in_dir(src.path, "config.json").path);
    assert_tiny_labels(dest.path);
    struct model *m = open_or_fail(dest.path);
    assert_false(model_info(m)->preprocess.antialias);
    assert_true(model_info(m)->preprocess.scale == 30.0f);
    model_close(m);
    assert_told("antialias:   no");
    assert_told("focald classify --model");
}

static void the_options_decide_about_antialiasing_and_labels(void **state)
{
    struct place src = make_release("opt"), dest = in_scratch("opt-model");
    struct place labels = in_scratch("names");
    FILE *f = fopen(labels.path, "we");
    for (int i = 0; i < 50; i++)
        fprintf(f, "sound %d\n", i);
    fclose(f);
    focald_succeeds("import", "--antialias", "yes", "--labels", labels.path, src.path, dest.path);
    struct model *m = open_or_fail(dest.path);
    assert_true(model_info(m)->preprocess.antialias);
    assert_string_equal(model_info(m)->labels[15], "sound 15");
    model_close(m);
}

static void with_byte_order_mark(const char *path)
{
    char *marked;
    size_t n;
    char *text = read_bytes(path, &n);
    assert_true(asprintf(&marked, "\xef\xbb\xbf%s", text) > 0);
    write_text(path, marked);
    free(marked);
    free(text);
}

static void a_byte_order_mark_is_no_part_of_a_label(void **state)
{
    struct place src = make_release("bom"), dest = in_scratch("bom-model");
    with_byte_order_mark(in_dir(src.path, "label_encoder.txt").path);
    with_byte_order_mark(in_dir(src.path, "config.json").path);
    focald_succeeds("import", src.path, dest.path);
    assert_tiny_labels(dest.path);
}

/* recipes/ESC50 leave a checkpoint in save/CKPT+…, and the label encoder in save. */
static void a_checkpointers_directory_finds_its_labels_above(void **state)
{
    struct place src = make_release("save");
    struct place ckpt = in_dir(src.path, "CKPT+2024-03-01+10-00-00+00"), dest = in_scratch("ckpt");
    static const char *const modules[] = {"embedding_model.ckpt", "classifier.ckpt"};
    assert_int_equal(mkdir(ckpt.path, 0755), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(
            rename(in_dir(src.path, modules[i]).path, in_dir(ckpt.path, modules[i]).path), 0);
    focald_succeeds("import", ckpt.path, dest.path);
    assert_weights_of(in_dir(dest.path, "model.safetensors").path, tiny().path);
    assert_tiny_labels(dest.path);
}

/* Any of the published forms */

static void every_form_of_the_file_gives_the_same_weights(void **state)
{
    static const struct {
        const char *backbone, *head;
    } forms[] = {
        {"pytorch_model.bin", "classifier.ckpt"},
        {"pytorch_model_legacy.bin", "classifier_legacy.ckpt"},
        {"pytorch_model.bin", "classifier_module_prefix.ckpt"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char path[128];
        struct place src = make_release("form"), dest = in_scratch("form-model");
        snprintf(path, sizeof path, "checkpoints/%s", forms[i].backbone);
        copy_file(golden(path).path, in_dir(src.path, "embedding_model.ckpt").path);
        snprintf(path, sizeof path, "checkpoints/%s", forms[i].head);
        copy_file(golden(path).path, in_dir(src.path, "classifier.ckpt").path);
        focald_succeeds("import", "--force", src.path, dest.path);
        assert_weights_of(in_dir(dest.path, "model.safetensors").path, tiny().path);
    }
}

/* A head wrapped in a dictionary beside other things (nested.ckpt). */
static void a_state_within_a_training_state_is_found(void **state)
{
    struct place src = make_release("nested"), dest = in_scratch("nested-model");
    copy_file(golden("checkpoints/nested.ckpt").path, in_dir(src.path, "classifier.ckpt").path);
    focald_succeeds("import", src.path, dest.path);
    assert_weights_of(in_dir(dest.path, "model.safetensors").path, tiny().path);
}

static bool wrapped(const char *name, char *ret, size_t size)
{
    bool head = strncmp(name, "classifier.", 11) == 0;
    snprintf(ret, size, "module.model.%s%s", head ? "" : "backbone.", name);
    return true;
}

static bool without_prefix(const char *name, char *ret, size_t size)
{
    bool backbone = strncmp(name, "focalnet.", 9) == 0;
    snprintf(ret, size, "%s", backbone ? name + 9 : name);
    return true;
}

static bool as_sequence(const char *name, char *ret, size_t size)
{
    bool head = strncmp(name, "classifier.", 11) == 0;
    snprintf(ret, size, "%s%s", head ? "1." : "0.", head ? name + 11 : name);
    return true;
}

static void wrappers_names_are_left_out(void **state)
{
    bool (*const ways[])(const char *, char *, size_t) = {wrapped, without_prefix, as_sequence};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct place src = new_dir("wrapped"), dest = in_scratch("wrapped-model");
        struct recipe recipe = {ways[i], DTYPE_F32};
        make_file(in_dir(src.path, "model.safetensors").path, tiny().path, &recipe);
        copy_file(golden("checkpoints/config.json").path, in_dir(src.path, "config.json").path);
        copy_file(golden("checkpoints/label_encoder.txt").path,
                  in_dir(src.path, "label_encoder.txt").path);
        focald_succeeds("import", "--force", src.path, dest.path);
        assert_weights_of(in_dir(dest.path, "model.safetensors").path, tiny().path);
    }
}

static bool first_half(const char *name, char *ret, size_t size)
{
    snprintf(ret, size, "%s", name);
    return strstr(name, "stages.2") == NULL && strstr(name, "stages.3") == NULL;
}

static bool second_half(const char *name, char *ret, size_t size)
{
    return !first_half(name, ret, size);
}

/* weight_map of two shards, by which half a name is in. */
static void write_index(const char *path)
{
    struct safetensors *f = open_file(tiny().path);
    FILE *to = fopen(path, "we");
    const char *between = "";
    fprintf(to, "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {");
    for (size_t i = 0; i < safetensors_count(f); i++) {
        char name[160];
        const char *t = safetensors_at(f, i)->name;
        if (!is_weight(t))
            continue;
        fprintf(to, "%s\"%s\": \"model-0000%d-of-00002.safetensors\"", between, t,
                first_half(t, name, sizeof name) ? 1 : 2);
        between = ", ";
    }
    fprintf(to, "}}");
    fclose(to);
    safetensors_close(f);
}

static void shards_are_put_together(void **state)
{
    struct place src = new_dir("shards"), dest = in_scratch("shards-model");
    make_file(in_dir(src.path, "model-00001-of-00002.safetensors").path, tiny().path,
              &(struct recipe){first_half, DTYPE_F32});
    make_file(in_dir(src.path, "model-00002-of-00002.safetensors").path, tiny().path,
              &(struct recipe){second_half, DTYPE_F32});
    write_index(in_dir(src.path, "model.safetensors.index.json").path);
    copy_file(golden("checkpoints/config.json").path, in_dir(src.path, "config.json").path);
    copy_file(golden("checkpoints/label_encoder.txt").path,
              in_dir(src.path, "label_encoder.txt").path);
    focald_succeeds("import", src.path, dest.path);
    assert_weights_of(in_dir(dest.path, "model.safetensors").path, tiny().path);
}

static bool hugging_face_head(const char *name, char *ret, size_t size)
{
    if (strncmp(name, "classifier.", 11) != 0)
        return as_it_is(name, ret, size);
    if (strcmp(name, "classifier.weight") != 0 && strcmp(name, "classifier.blocks.1.w.bias") != 0)
        return false;
    snprintf(ret, size, "classifier.%s", strstr(name, "blocks") != NULL ? "bias" : "weight");
    return true;
}

static void an_imagenet_backbone_imports_without_its_head(void **state)
{
    struct place src = new_dir("imagenet"), dest = in_scratch("imagenet-model");
    make_file(in_dir(src.path, "model.safetensors").path, tiny().path,
              &(struct recipe){hugging_face_head, DTYPE_F32});
    copy_file(golden("checkpoints/config.json").path, in_dir(src.path, "config.json").path);
    focald_succeeds("import", src.path, dest.path);
    assert_told("left over:   2 tensors: classifier.");
    assert_told("to be trained from");
    assert_told("antialias:   yes");
    assert_int_not_equal(access(in_dir(dest.path, "labels.txt").path, F_OK), 0);
    struct safetensors *f = open_file(in_dir(dest.path, "model.safetensors").path);
    assert_null(safetensors_find(f, "classifier.weight"));
    assert_non_null(safetensors_find(f, "focalnet.layernorm.weight"));
    safetensors_close(f);
    struct model *m;
    struct error error;
    assert_int_equal(model_open(&m, dest.path, &error), -EINVAL);
    assert_line(&error, "without a classifier", NULL);
}

/* FocalNetForMaskedImageModeling and ViT's: "decoder.0", a convolution, is no interpreter's. */
static bool masked_image_model(const char *name, char *ret, size_t size)
{
    if (strncmp(name, "classifier.", 11) != 0)
        return as_it_is(name, ret, size);
    if (strcmp(name, "classifier.weight") != 0 && strcmp(name, "classifier.blocks.1.w.bias") != 0)
        return false;
    snprintf(ret, size, "decoder.0.%s", strstr(name, "blocks") != NULL ? "bias" : "weight");
    return true;
}

static void a_masked_image_model_imports_without_its_decoder(void **state)
{
    struct place src = new_dir("mim"), dest = in_scratch("mim-model");
    make_file(in_dir(src.path, "model.safetensors").path, tiny().path,
              &(struct recipe){masked_image_model, DTYPE_F32});
    copy_file(golden("checkpoints/config.json").path, in_dir(src.path, "config.json").path);
    focald_succeeds("import", src.path, dest.path);
    assert_told("left over:   2 tensors: decoder.0.");
    struct safetensors *f = open_file(in_dir(dest.path, "model.safetensors").path);
    assert_non_null(safetensors_find(f, "focalnet.embeddings.norm.weight"));
    assert_null(safetensors_find(f, "psi.decoder.0.weight"));
    safetensors_close(f);
}

/* Geometry */

static void a_focalnet_without_config_tells_its_geometry_by_shapes(void **state)
{
    struct place src = make_release("shapes"), dest = in_scratch("shapes-model");
    struct place named = in_scratch("shapes-named");
    write_text(in_dir(src.path, "config.json").path,
               "{\"speechbrain_interface\": \"EncoderClassifier\"}"); /* as on the hub */
    focald_succeeds("import", "--image-size", "64", src.path, dest.path);
    size_t n;
    char *config = read_bytes(in_dir(dest.path, "config.json").path, &n);
    assert_non_null(strstr(config, "speechbrain_interface"));
    free(config);
    assert_int_equal(unlink(in_dir(src.path, "config.json").path), 0);
    focald_succeeds("import", "--force", "--image-size", "64", src.path, dest.path);
    assert_told("from the tensors' shapes");
    assert_weights_of(in_dir(dest.path, "model.safetensors").path, tiny().path);
    focald_succeeds("import", make_release("shapes").path, named.path);
    struct model *ours = open_or_fail(dest.path), *theirs = open_or_fail(named.path);
    const struct model_info *a = model_info(ours), *b = model_info(theirs);
    assert_int_equal(a->parameters, b->parameters);
    assert_true(a->flops == b->flops);
    assert_int_equal(a->n_maps, b->n_maps);
    assert_memory_equal(a->maps, b->maps, sizeof a->maps[0] * (size_t)a->n_maps);
    model_close(ours);
    model_close(theirs);
}

/* Convolutional embeddings, layer scale, post-norms (focalnet_options). */
static void a_focalnets_options_show_in_its_tensors(void **state)
{
    struct place src = new_dir("options"), dest = in_scratch("options-model");
    struct place golden_file = golden("focalnet_options.safetensors");
    make_file(in_dir(src.path, "model.safetensors").path, golden_file.path,
              &(struct recipe){as_it_is, DTYPE_F32});
    copy_file(golden("checkpoints/label_encoder.txt").path,
              in_dir(src.path, "label_encoder.txt").path);
    focald_succeeds("import", "--image-size", "64", "--dry-run", src.path);
    assert_told("It fits");
    focald_succeeds("import", "--image-size", "64", src.path, dest.path);
    size_t n;
    char *config = read_bytes(in_dir(dest.path, "config.json").path, &n);
    static const char *const said[] = {"\"use_conv_embed\": true", "\"use_layerscale\": true",
                                       "\"use_post_layernorm\": true",
                                       "\"use_post_layernorm_in_modulation\": true"};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (strstr(config, said[i]) == NULL)
            fail_msg("%s is not in %s", said[i], config);
    free(config);
}

static bool vit_for_classification(const char *name, char *ret, size_t size)
{
    bool head = strncmp(name, "classifier.", 11) == 0;
    snprintf(ret, size, "%s%s", head ? "" : "vit.", name);
    return true;
}

static void a_vit_imports_with_and_without_config(void **state)
{
    struct place src = new_dir("vit"), dest = in_scratch("vit-model");
    struct place golden_file = golden("vit_tiny.safetensors");
    make_file(in_dir(src.path, "model.safetensors").path, golden_file.path,
              &(struct recipe){vit_for_classification, DTYPE_F32});
    copy_file(golden("checkpoints/label_encoder.txt").path,
              in_dir(src.path, "label_encoder.txt").path);
    focald("import", src.path, dest.path, NULL);
    assert_int_equal(last.status, 1);
    assert_line(&last.err, "hidden_size 48", "--heads", NULL);
    assert_nothing_written(dest.path);
    focald_succeeds("import", "--heads", "4", src.path, dest.path);
    assert_told("4 attention heads");
    assert_weights_of(in_dir(dest.path, "model.safetensors").path, golden_file.path);
    struct model *m = open_or_fail(dest.path);
    assert_string_equal(model_info(m)->architecture, "vit");
    assert_int_equal(model_info(m)->image_rows, 64); /* 17 positions, patches of 16 */
    assert_int_equal(model_info(m)->maps[0].rows, 4);
    model_close(m);
    copy_file(in_dir(dest.path, "config.json").path, in_dir(src.path, "config.json").path);
    focald_succeeds("import", "--force", src.path, dest.path);
    assert_weights_of(in_dir(dest.path, "model.safetensors").path, golden_file.path);
}

/* PIQ */

/* psi_model.ckpt of the interpreter's tensors in a model that was made. */
static void write_psi(const char *path, const char *model_path)
{
    static struct bytes pickle;
    static char names[128][96];
    static struct member members[130];
    struct safetensors *f = open_file(model_path);
    static struct made_tensor tensors[128];
    static char keys[128][24], names_only[128][96];
    size_t n = 0;
    pickle.n = 0;
    for (size_t i = 0; i < safetensors_count(f); i++) {
        const struct safetensors_tensor *t = safetensors_at(f, i);
        if (strncmp(t->name, "psi.", 4) != 0)
            continue;
        struct made_tensor *m = &tensors[n];
        snprintf(names_only[n], sizeof names_only[n], "%s", t->name + 4);
        snprintf(keys[n], sizeof keys[n], "%zu", n);
        *m = (struct made_tensor){.name = names_only[n],
                                  .storage = "FloatStorage",
                                  .key = keys[n],
                                  .numel = (int64_t)t->cells,
                                  .rank = t->rank};
        int64_t stride = 1;
        for (int d = t->rank - 1; d >= 0; d--) {
            m->shape[d] = t->shape[d];
            m->stride[d] = stride;
            stride *= t->shape[d];
        }
        snprintf(names[n], sizeof names[n], "psi_model/data/%zu", n);
        members[n + 1] = (struct member){names[n], t->data, t->cells * 4, false, false};
        n++;
    }
    put_tensors(&pickle, tensors, n);
    members[0] = (struct member){"psi_model/data.pkl", pickle.at, pickle.n, false, false};
    members[n + 1] = (struct member){0};
    write_zip(path, members);
    safetensors_close(f);
}

static bool not_psi(const char *name, char *ret, size_t size)
{
    return strncmp(name, "psi.", 4) != 0 && as_it_is(name, ret, size);
}

static void piq_comes_from_its_own_file(void **state)
{
    struct place whole = in_scratch("piq"), src = new_dir("piq-src"), dest = in_scratch("piq-dest");
    struct error error;
    const char *const configs[] = {made_focalnet, made_vit};
    for (size_t i = 0; i < 2; i++) {
        nftw(whole.path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        if (made_model(whole.path, configs[i], 10, 64, &error) < 0)
            fail_msg("%s", error.text);
        struct place weights = in_dir(whole.path, "model.safetensors");
        make_file(in_dir(src.path, "model.safetensors").path, weights.path,
                  &(struct recipe){not_psi, DTYPE_F32});
        copy_file(in_dir(whole.path, "config.json").path, in_dir(src.path, "config.json").path);
        copy_file(in_dir(whole.path, "labels.txt").path, in_dir(src.path, "labels.txt").path);
        write_psi(in_dir(src.path, "psi_model.ckpt").path, weights.path);
        focald_succeeds("import", "--force", src.path, dest.path);
        assert_told(", piq");
        struct safetensors *a = open_file(in_dir(dest.path, "model.safetensors").path);
        struct safetensors *b = open_file(weights.path);
        assert_int_equal(safetensors_count(a), safetensors_count(b));
        for (size_t k = 0; k < safetensors_count(b); k++) {
            const struct safetensors_tensor *t = safetensors_at(b, k);
            const struct safetensors_tensor *o = safetensors_find(a, t->name);
            assert_non_null(o);
            assert_memory_equal(o->data, t->data, t->cells * dtype_size(t->dtype));
        }
        safetensors_close(a);
        safetensors_close(b);
        struct model *m;
        if (model_open_with(&m, dest.path, INTERPRETER_PIQ, &error) < 0)
            fail_msg("%s", error.text);
        model_close(m);
    }
}

/* There and back */

static const char *const model_files[] = {"model.safetensors", "config.json", "labels.txt",
                                          "preprocess.json"};

static void assert_round_trip(const char *model)
{
    struct place published = in_scratch("published"), back = in_scratch("back");
    focald_succeeds("export", "--force", model, published.path);
    size_t n;
    char *config = read_bytes(in_dir(published.path, "config.json").path, &n);
    assert_non_null(strstr(config, "\"id2label\": {\"0\": "));
    assert_non_null(strstr(config, "\"label2id\": {"));
    free(config);
    focald_succeeds("import", "--force", published.path, back.path);
    for (size_t i = 0; i < 4; i++) {
        struct place was = in_dir(model, model_files[i]), is = in_dir(back.path, model_files[i]);
        if (access(was.path, F_OK) == 0)
            assert_same_file(was.path, is.path);
        else
            assert_int_not_equal(access(is.path, F_OK), 0);
    }
}

static void export_and_import_give_the_shipped_model_again(void **state)
{
    assert_round_trip(in_source("tests/data/baseline").path);
}

static void every_type_of_storage_survives_both_ways(void **state)
{
    static const enum safetensors_dtype types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    for (size_t i = 0; i < 3; i++) {
        struct place src = new_dir("typed"), dest = in_scratch("typed-model");
        struct place file = in_dir(src.path, "model.safetensors");
        make_file(file.path, tiny().path, &(struct recipe){without_prefix, types[i]});
        copy_file(golden("checkpoints/config.json").path, in_dir(src.path, "config.json").path);
        copy_file(golden("checkpoints/label_encoder.txt").path,
                  in_dir(src.path, "label_encoder.txt").path);
        focald_succeeds("import", "--force", src.path, dest.path);
        make_file(in_dir(src.path, "plain.safetensors").path, tiny().path,
                  &(struct recipe){as_it_is, types[i]});
        assert_weights_of(in_dir(dest.path, "model.safetensors").path,
                          in_dir(src.path, "plain.safetensors").path);
        assert_round_trip(dest.path);
    }
}

static void doubles_become_floats(void **state)
{
    struct place src = new_dir("wide"), dest = in_scratch("wide-model");
    make_file(in_dir(src.path, "model.safetensors").path, tiny().path,
              &(struct recipe){as_it_is, DTYPE_F64});
    copy_file(golden("checkpoints/config.json").path, in_dir(src.path, "config.json").path);
    copy_file(golden("checkpoints/label_encoder.txt").path,
              in_dir(src.path, "label_encoder.txt").path);
    focald_succeeds("import", src.path, dest.path);
    assert_weights_of(in_dir(dest.path, "model.safetensors").path, tiny().path);
}

/* Labels in config.json that are another network's are not taken for ours. */
static void a_config_with_other_labels_is_settled(void **state)
{
    struct place src = make_release("other"), dest = in_scratch("other-model");
    write_text(in_dir(src.path, "config.json").path,
               "{\"model_type\": \"focalnet\", \"image_size\": 64, \"embed_dim\": 16, \"depths\": "
               "[1, 1, 2, 1], \"id2label\": {\"0\": \"tench\", \"1\": \"goldfish\"}, \"label2id\": "
               "{\"tench\": 0, \"goldfish\": 1}, \"mine\": [1, 2]}");
    focald_succeeds("import", src.path, dest.path);
    size_t n;
    char *config = read_bytes(in_dir(dest.path, "config.json").path, &n);
    assert_null(strstr(config, "tench"));
    assert_non_null(strstr(config, "\"mine\""));
    free(config);
    assert_tiny_labels(dest.path);
    assert_round_trip(dest.path);
}

/* Half of the two keys too. */
static void a_config_with_labels_one_way_only_is_settled(void **state)
{
    struct place src = make_release("half"), dest = in_scratch("half-model");
    write_text(
        in_dir(src.path, "config.json").path,
        "{\"model_type\": \"focalnet\", \"image_size\": 64, \"embed_dim\": 16, \"depths\": "
        "[1, 1, 2, 1], \"label2id\": {\"tench\": 0}, \"caf\xc3\xa9 }\": \"\\u20ac }\"}\r\n ");
    focald_succeeds("import", src.path, dest.path);
    assert_round_trip(dest.path);
}

static void labels_come_from_config_where_nothing_else_has_them(void **state)
{
    struct place src = make_release("hf"), model = in_scratch("hf-model"), dest = in_scratch("hf2");
    focald_succeeds("import", src.path, model.path);
    focald_succeeds("export", model.path, in_scratch("hf-out").path);
    assert_int_equal(unlink(in_dir(in_scratch("hf-out").path, "labels.txt").path), 0);
    focald_succeeds("import", in_scratch("hf-out").path, dest.path);
    for (size_t i = 0; i < 4; i++)
        assert_same_file(in_dir(model.path, model_files[i]).path,
                         in_dir(dest.path, model_files[i]).path);
}

static void a_dry_run_tells_all_and_writes_nothing(void **state)
{
    struct place src = make_release("dry"), dest = in_scratch("dry-model");
    focald_succeeds("import", "--dry-run", src.path, dest.path);
    assert_told("blocks.1.w.bias");
    assert_told("-> classifier.blocks.1.w.bias F32 [192]");
    assert_told("It fits");
    assert_nothing_written(dest.path);
    assert_int_equal(unlink(in_dir(src.path, "classifier.ckpt").path), 0);
    copy_file(golden("checkpoints/classifier.ckpt").path,
              in_dir(src.path, "embedding_model.ckpt").path);
    focald("import", "-n", src.path, NULL);
    assert_int_equal(last.status, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_speechbrain_release_becomes_a_model),
        cmocka_unit_test(the_options_decide_about_antialiasing_and_labels),
        cmocka_unit_test(a_checkpointers_directory_finds_its_labels_above),
        cmocka_unit_test(every_form_of_the_file_gives_the_same_weights),
        cmocka_unit_test(a_state_within_a_training_state_is_found),
        cmocka_unit_test(wrappers_names_are_left_out),
        cmocka_unit_test(shards_are_put_together),
        cmocka_unit_test(an_imagenet_backbone_imports_without_its_head),
        cmocka_unit_test(a_masked_image_model_imports_without_its_decoder),
        cmocka_unit_test(a_byte_order_mark_is_no_part_of_a_label),
        cmocka_unit_test(a_focalnet_without_config_tells_its_geometry_by_shapes),
        cmocka_unit_test(a_focalnets_options_show_in_its_tensors),
        cmocka_unit_test(a_vit_imports_with_and_without_config),
        cmocka_unit_test(piq_comes_from_its_own_file),
        cmocka_unit_test(export_and_import_give_the_shipped_model_again),
        cmocka_unit_test(every_type_of_storage_survives_both_ways),
        cmocka_unit_test(doubles_become_floats),
        cmocka_unit_test(a_config_with_other_labels_is_settled),
        cmocka_unit_test(a_config_with_labels_one_way_only_is_settled),
        cmocka_unit_test(labels_come_from_config_where_nothing_else_has_them),
        cmocka_unit_test(a_dry_run_tells_all_and_writes_nothing),
    };
    int failed = cmocka_run_group_tests(tests, make_scratch, remove_scratch);
    free(last.out);
    return failed;
}
