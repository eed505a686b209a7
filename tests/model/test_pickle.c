/* SPDX-License-Identifier: Apache-2.0
 * Pickles, honest and hostile, as data. Opcodes are written as Python's pickletools names them. */
#include "tests/model/checkpoints.h"

#include "model/weights/pickle.h"

static const char place[] = "some.ckpt";

/* Two globals of the owner's: one that makes object 7, one that refuses. */
static const char *const globals[] = {"own.make", "own.refuse", NULL};

static int own_call(void *context, struct pickle *pickle, size_t global,
                    const struct pickle_value *args, struct pickle_value **ret, struct error *error)
{
    ++*(int *)context;
    if (global == 1)
        return error_set(error, EINVAL, "%s: refused by the owner", place);
    *ret = pickle_object(pickle, 7, args->n);
    return 0;
}

static int own_persistent(void *context, struct pickle *pickle, const struct pickle_value *id,
                          struct pickle_value **ret, struct error *error)
{
    ++*(int *)context;
    if (id->kind != PICKLE_INT)
        return error_set(error, EINVAL, "%s: no such id", place);
    *ret = pickle_object(pickle, 8, (size_t)id->integer);
    return 0;
}

static int calls;
static const struct pickle_rules own = {globals, own_call, own_persistent, &calls};
static const struct pickle_rules plain = {0};

/* From memory of exactly that size, so that sanitizers see a read beyond the end. */
static int try_read(struct pickle **ret, unsigned char **ret_bytes, const void *bytes, size_t n,
                    const struct pickle_rules *rules, struct error *error)
{
    size_t used = 0;
    *ret_bytes = malloc(n > 0 ? n : 1);
    assert_non_null(*ret_bytes);
    memcpy(*ret_bytes, bytes, n);
    int r = pickle_read(ret, place, *ret_bytes, n, rules, &used, error);
    if (r == 0)
        assert_true(used <= n);
    return r;
}

static void assert_refused_by(const struct pickle_rules *rules, const void *bytes, size_t n,
                              const char *piece)
{
    struct pickle *const untouched = (struct pickle *)(void *)&scratch;
    struct pickle *p = untouched;
    unsigned char *copy;
    struct error error = {""};
    int r = try_read(&p, &copy, bytes, n, rules, &error);
    if (r != -EINVAL)
        fail_msg("%d, not %d: \"%s\" was to be refused (%s)", r, -EINVAL, piece, error.text);
    assert_ptr_equal(p, untouched);
    assert_line(&error, "some.ckpt: ", piece, NULL);
    free(copy);
}

#define REFUSED(literal, piece) assert_refused_by(&own, literal, sizeof(literal) - 1, piece)

struct reading {
    struct pickle *pickle;
    unsigned char *bytes;
};

static struct reading accept(const void *bytes, size_t n)
{
    struct reading reading;
    struct error error = {""};
    if (try_read(&reading.pickle, &reading.bytes, bytes, n, &own, &error) < 0)
        fail_msg("%s", error.text);
    return reading;
}

#define ACCEPT(literal) accept(literal, sizeof(literal) - 1)

static void done(struct reading reading)
{
    pickle_destroy(reading.pickle);
    free(reading.bytes);
}

/* Values */

static void integers_have_their_values(void **state)
{
    struct reading reading = ACCEPT("\x80\x02(K\xffM\xfe\xff"
                                    "J\xff\xff\xff\xffJ\x00\x00\x00\x80\x8a\x00\x8a\x01\x80"
                                    "\x8a\x02\xff\x00\x8a\x05\x00\x00\x00\x00\xff"
                                    "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"
                                    "\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80t.");
    static const int64_t expected[] = {255,  65534, -1,          INT32_MIN, 0,
                                       -128, 255,   -4294967296, INT64_MAX, INT64_MIN};
    const struct pickle_value *v = pickle_root(reading.pickle);
    assert_int_equal(v->kind, PICKLE_TUPLE);
    assert_int_equal(v->n, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < v->n; i++) {
        assert_int_equal(v->items[i]->kind, PICKLE_INT);
        assert_true(v->items[i]->integer == expected[i]);
    }
    done(reading);
}

static void other_values_are_told_apart(void **state)
{
    struct reading reading = ACCEPT("\x80\x03(N\x88\x89G\x3f\xf0\x00\x00\x00\x00\x00\x00"
                                    "\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00X\x03\x00\x00\x00"
                                    "a\nbX\x00\x00\x00\x00)]}t.");
    static const enum pickle_kind expected[] = {
        PICKLE_NONE,   PICKLE_BOOL,   PICKLE_BOOL,  PICKLE_OTHER, PICKLE_OTHER,
        PICKLE_STRING, PICKLE_STRING, PICKLE_TUPLE, PICKLE_LIST,  PICKLE_DICT};
    const struct pickle_value *v = pickle_root(reading.pickle);
    assert_int_equal(v->n, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < v->n; i++)
        assert_int_equal(v->items[i]->kind, expected[i]);
    assert_true(v->items[1]->truth && !v->items[2]->truth);
    assert_true(pickle_is_text(v->items[5], "a\nb") && !pickle_is_text(v->items[5], "a\n"));
    assert_true(pickle_is_text(v->items[6], ""));
    done(reading);
    reading = ACCEPT("\x80\x02(t."); /* the other way to write it */
    assert_true(pickle_root(reading.pickle)->kind == PICKLE_TUPLE);
    assert_int_equal(pickle_root(reading.pickle)->n, 0);
    done(reading);
}

static void containers_hold_what_was_put_in(void **state)
{
    /* {1: [2, 3, 4], 5: OrderedDict({6: ((7,), (8, 9), (10, 11, 12))})} */
    struct reading reading = ACCEPT("\x80\x02}(K\x01](K\x02K\x03"
                                    "eK\x04"
                                    "aK\x05"
                                    "ccollections\nOrderedDict\n)RK\x06K\x07\x85K\x08K\x09\x86"
                                    "K\x0aK\x0bK\x0c\x87\x87su.");
    const struct pickle_value *v = pickle_root(reading.pickle);
    assert_true(v->kind == PICKLE_DICT && v->n == 4 && !v->ordered);
    assert_true(v->items[0]->integer == 1 && v->items[2]->integer == 5);
    const struct pickle_value *list = v->items[1], *dict = v->items[3];
    assert_true(list->kind == PICKLE_LIST && list->n == 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(list->items[i]->integer, i + 2);
    assert_true(dict->kind == PICKLE_DICT && dict->n == 2 && dict->ordered);
    const struct pickle_value *three = dict->items[1];
    assert_true(three->kind == PICKLE_TUPLE && three->n == 3);
    int64_t expected = 7;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(three->items[i]->n, i + 1);
        for (size_t k = 0; k <= i; k++)
            assert_int_equal(three->items[i]->items[k]->integer, expected++);
    }
    done(reading);
}

static void what_is_recalled_is_the_same_value(void **state)
{
    struct reading reading = ACCEPT("\x80\x02(]q\x00r\x00\x10\x00\x00h\x00j\x00\x10\x00\x00K\x01"
                                    "at.");
    const struct pickle_value *v = pickle_root(reading.pickle);
    assert_int_equal(v->n, 3);
    assert_true(v->items[0] == v->items[1] && v->items[1] == v->items[2]);
    assert_int_equal(v->items[0]->n, 1);
    done(reading);
}

static void a_list_may_hold_itself_and_is_freed_once(void **state)
{
    struct reading reading = ACCEPT("\x80\x02]q\x00(h\x00h\x00h\x00"
                                    "e.");
    const struct pickle_value *v = pickle_root(reading.pickle);
    assert_true(v->n == 3 && v->items[0] == v && v->items[2] == v);
    done(reading);
}

static void only_the_owner_says_what_its_globals_make(void **state)
{
    calls = 0;
    struct reading reading = ACCEPT("\x80\x02"
                                    "cown\nmake\n(NNtRK\x05Q\x86.");
    const struct pickle_value *v = pickle_root(reading.pickle);
    assert_int_equal(calls, 2);
    assert_true(v->items[0]->kind == PICKLE_OBJECT && v->items[0]->type == 7);
    assert_int_equal(v->items[0]->index, 2);
    assert_true(v->items[1]->kind == PICKLE_OBJECT && v->items[1]->type == 8);
    assert_int_equal(v->items[1]->index, 5);
    done(reading);
    REFUSED("\x80\x02"
            "cown\nrefuse\n)R.",
            "refused by the owner");
    REFUSED("\x80\x02NQ.", "no such id");
}

static void metadata_is_read_and_left(void **state)
{
    struct reading reading = ACCEPT("\x80\x02"
                                    "ccollections\nOrderedDict\n)R}X\x09\x00\x00\x00_metadata}sb.");
    assert_int_equal(pickle_root(reading.pickle)->kind, PICKLE_DICT);
    assert_int_equal(pickle_root(reading.pickle)->n, 0);
    done(reading);
}

/* Hostile pickles */

static const struct {
    unsigned char byte;
    const char *name;
} needless[] = {
    {'0', "POP"},
    {'1', "POP_MARK"},
    {'2', "DUP"},
    {'B', "BINBYTES"},
    {'C', "SHORT_BINBYTES"},
    {'F', "FLOAT"},
    {'I', "INT"},
    {'L', "LONG"},
    {'P', "PERSID"},
    {'S', "STRING"},
    {'T', "BINSTRING"},
    {'U', "SHORT_BINSTRING"},
    {'V', "UNICODE"},
    {'d', "DICT"},
    {'g', "GET"},
    {'i', "INST"},
    {'l', "LIST"},
    {'o', "OBJ"},
    {'p', "PUT"},
    {0x81, "NEWOBJ"},
    {0x82, "EXT1"},
    {0x83, "EXT2"},
    {0x84, "EXT4"},
    {0x8b, "LONG4"},
    {0x8c, "SHORT_BINUNICODE"},
    {0x8d, "BINUNICODE8"},
    {0x8e, "BINBYTES8"},
    {0x8f, "EMPTY_SET"},
    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},
    {0x92, "NEWOBJ_EX"},
    {0x93, "STACK_GLOBAL"},
    {0x94, "MEMOIZE"},
    {0x95, "FRAME"},
    {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},
    {0x98, "READONLY_BUFFER"},
};
static const char needed[] = "().GJKMNQRX]abcehjqrstu}\x80\x85\x86\x87\x88\x89\x8a";

static void every_opcode_that_weights_do_not_need_is_refused_by_name(void **state)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        const char *name = NULL;
        for (size_t i = 0; i < sizeof needless / sizeof *needless; i++)
            if (needless[i].byte == byte)
                name = needless[i].name;
        if (memchr(needed, (int)byte, sizeof needed - 1) != NULL)
            continue;
        const unsigned char pickle[] = {0x80, 2, 'N', '(', ')', (unsigned char)byte, 1, '.'};
        char piece[64];
        snprintf(piece, sizeof piece, name != NULL ? "the pickle's %s at byte 5" : "no opcode",
                 name);
        assert_refused_by(&own, pickle, sizeof pickle, piece);
    }
}

static void every_way_to_call_something_is_refused_by_name(void **state)
{
    REFUSED("\x80\x02"
            "cos\nsystem\nX\x02\x00\x00\x00id\x85R.",
            "it wants to call os.system; a file of weights needs only tensors: do not use it");
    REFUSED("cposix\nsystem\n.", "it wants to call posix.system;");
    REFUSED("c__builtin__\neval\n.", "it wants to call __builtin__.eval;");
    REFUSED("ctorch.storage\n_load_from_bytes\n.", "torch.storage._load_from_bytes;");
    REFUSED("ccollections\nOrderedDict.fromkeys\n.", "collections.OrderedDict.fromkeys;");
    REFUSED("ccollections\n\n.", "it wants to call collections.;");
    REFUSED("c\n\n.", "it wants to call .;");
    REFUSED("ccollections\nOrderedDict\0x\n.", "it wants to call collections.OrderedDict?x;");
    REFUSED("c\x1b[2Ja\x9b\nb\r\x7f\n.", "it wants to call ?[2Ja?.b??;");
    REFUSED("(X\x02\x00\x00\x00idios\nsystem\n.", "the pickle's INST");
    REFUSED("(cown\nmake\nX\x02\x00\x00\x00ido.", "the pickle's OBJ");
    REFUSED("cown\nmake\n)\x81.", "the pickle's NEWOBJ");
    REFUSED("X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93.", "the pickle's STACK_GLOBAL");
    REFUSED("\x82\x01.", "the pickle's EXT1");
    REFUSED("N)R.", "calls what is no function");
    REFUSED("ccollections\nOrderedDict\n]R.", "calls what is no function");
    REFUSED("ccollections\nOrderedDict\n](NN\x86\x65\x85R.", "fills an OrderedDict by a call");
    REFUSED("ccollections\nOrderedDict\n)R)R.", "calls what is no function");
    assert_refused_by(&plain, "cown\nmake\n.", 11, "it wants to call own.make");
    assert_refused_by(&plain, "NQ.", 3, "names a storage where there can be none");
}

static void no_state_is_set_but_a_state_dicts_metadata(void **state)
{
    const char *piece = "it wants to set the state of an object (BUILD)";
    REFUSED("}}b.", piece);
    REFUSED("]}b.", piece);
    REFUSED("cown\nmake\n}b.", piece);
    REFUSED("cown\nmake\n)R}b.", piece);
    REFUSED("ccollections\nOrderedDict\n)RNb.", piece);
    REFUSED("ccollections\nOrderedDict\n)RN}\x86"
            "b.",
            piece);
    REFUSED("ccollections\nOrderedDict\n)R}X\x09\x00\x00\x00__class__Nsb.", piece);
    REFUSED("ccollections\nOrderedDict\n)R}K\x01Nsb.", piece);
}

static void a_later_protocol_is_named(void **state)
{
    REFUSED("\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00N.", "written in pickle protocol 4");
    REFUSED("\x80\x05N.", "written in pickle protocol 5");
    REFUSED("\x80\x01N.", "written in pickle protocol 1");
}

static void no_opcode_takes_more_than_is_there(void **state)
{
    /* nothing; something below a mark only; too few */
    static const char *const starved[] = {"R",    "b",    "a",    "e",     "s",
                                          "u",    "t",    "Q",    "q\x01", "r\x01\x01\x01",
                                          "\x85", "\x86", "\x87", "."};
    for (size_t i = 0; i < sizeof starved / sizeof *starved; i++) {
        char pickle[32];
        snprintf(pickle, sizeof pickle, "%s.%.8s", starved[i], "........");
        assert_refused_by(&own, pickle, strlen(pickle), "the pickle's");
        if (strchr("teu", starved[i][0]) == NULL) {
            snprintf(pickle, sizeof pickle, "]]](%s.........", starved[i]);
            assert_refused_by(&own, pickle, strlen(pickle), "the pickle's");
        }
    }
    REFUSED("Na.", "takes a value that is not there");
    REFUSED("NNa.", "finds no list");
    REFUSED("}Na.", "finds no list");
    REFUSED(")Na.", "finds no list");
    REFUSED("N(Ne.", "finds no list");
    REFUSED("(Ne.", "takes a value that is not there");
    REFUSED("}(Nu.", "a key without a value");
    REFUSED("](NNu.", "finds no dictionary");
    REFUSED("NNs.", "takes a value that is not there");
    REFUSED("NNNs.", "finds no dictionary");
    REFUSED("N(\x85.", "takes a value that is not there");
    REFUSED("NN\x87.", "takes a value that is not there");
    REFUSED("NN.", "leaves 2 values");
    REFUSED("(N.", "leaves");
    REFUSED(".", "leaves 0 values");
}

static void what_was_never_stored_is_not_recalled(void **state)
{
    REFUSED("h\x00.", "recalls value 0, which was never stored");
    REFUSED("Nq\x05h\x04.", "recalls value 4,");
    REFUSED("j\xff\xff\xff\xff.", "recalls value 4294967295,");
    REFUSED("Nr\xff\xff\xff\xff.", "stores value 4294967295; allowed: below 1048576");
    REFUSED("Nr\x00\x00\x10\x00.", "stores value 1048576");
    done(ACCEPT("Nr\xff\xff\x0f\x00."));
}

static void lengths_beyond_the_end_are_refused(void **state)
{
    REFUSED("X\x04\x00\x00\x00yes", "runs over the end");
    REFUSED("X\xff\xff\xff\xffyes", "has 4294967295 bytes of text");
    REFUSED("\x8a\xff\x01.", "runs over the end");
    REFUSED("J\x01\x02\x03", "runs over the end");
    REFUSED("G1234567", "runs over the end");
    REFUSED("cos\nsystem", "has no name");
    REFUSED("cos", "has no name");
}

static char *repeated(const char *head, const char *middle, size_t times, const char *tail)
{
    size_t n = strlen(middle);
    char *text = malloc(strlen(head) + times * n + strlen(tail) + 1);
    assert_non_null(text);
    char *at = stpcpy(text, head);
    for (size_t i = 0; i < times; i++)
        at = stpcpy(at, middle);
    strcpy(at, tail);
    return text;
}

static void assert_repeated(const char *head, const char *middle, size_t times, const char *tail,
                            const char *piece)
{
    char *text = repeated(head, middle, times, tail);
    if (piece != NULL)
        assert_refused_by(&own, text, strlen(text), piece);
    else
        done(accept(text, strlen(text)));
    free(text);
}

static void everything_has_a_limit(void **state)
{
    assert_repeated("", "(", PICKLE_MAX_MARKS + 1, ".", "nested deeper than 1024");
    assert_repeated("", "N", PICKLE_MAX_STACK + 1, ".", "more than 65536 values waiting");
    assert_repeated("(", "N", PICKLE_MAX_STACK - 1, "t.", NULL);
    assert_repeated("]", "(e", PICKLE_MAX_OPCODES / 2, ".", "more than 1048576 opcodes");
    assert_repeated("", "c", 1, "", "has no name");
    assert_repeated("c", "m", 201, "\nx\n.", "more than 200 bytes");
    assert_repeated("cm\n", "n", 201, "\n.", "more than 200 bytes");
    assert_repeated("N", "\x85", 1000000, ".", NULL); /* freed without recursion */
    assert_repeated("N", "}", 60000, ".", "leaves 60001 values");
    assert_repeated("]q\x01",
                    "h\x01"
                    "a",
                    500000, ".", NULL);
}

/* Whatever was done to it, an honest pickle */

static size_t honest(struct bytes *b)
{
    static const struct made_tensor t[] = {
        {"a", "FloatStorage", "0", 24, 0, 2, {4, 6}, {6, 1}, NULL, 0, 0, false},
        {"b", "LongStorage", "1", 1, 0, 0, {0}, {0}, NULL, 0, 0, false},
    };
    b->n = 0;
    put_tensors(b, t, 2);
    return b->n;
}

static const char *const torch_globals[] = {"torch._utils._rebuild_tensor_v2", "torch.FloatStorage",
                                            "torch.LongStorage", NULL};

static int any_call(void *context, struct pickle *pickle, size_t global,
                    const struct pickle_value *args, struct pickle_value **ret, struct error *error)
{
    *ret = pickle_object(pickle, 0, args->n);
    return 0;
}

static int any_persistent(void *context, struct pickle *pickle, const struct pickle_value *id,
                          struct pickle_value **ret, struct error *error)
{
    *ret = pickle_object(pickle, 1, id->kind);
    return 0;
}

static const struct pickle_rules any = {torch_globals, any_call, any_persistent, NULL};

static void every_cut_of_a_pickle_is_refused(void **state)
{
    static struct bytes b;
    size_t n = honest(&b);
    for (size_t cut = 0; cut < n; cut++)
        assert_refused_by(&any, b.at, cut, "");
}

static void changed_bytes_are_read_or_refused(void **state)
{
    static struct bytes b;
    uint64_t seed = 20260724;
    size_t n = honest(&b), refused = 0, read = 0;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int round = 0; round < 20000; round++) {
        struct pickle *p;
        unsigned char *copy;
        struct error error = {""};
        honest(&b);
        for (uint64_t i = 0, changes = 1 + random_next(&seed) % 3; i < changes; i++)
            b.at[random_next(&seed) % n] = random_next(&seed) % 4 == 0
                                               ? (unsigned char)needed[random_next(&seed) % 31]
                                               : (unsigned char)random_next(&seed);
        int r = try_read(&p, &copy, b.at, n, &any, &error);
        if (r == 0) {
            read++;
            pickle_destroy(p);
        } else {
            refused++;
            assert_int_equal(r, -EINVAL);
            assert_line(&error, "some.ckpt: ", NULL);
        }
        free(copy);
    }
    print_message("%zu read, %zu refused\n", read, refused);
    assert_true(read > 0 && refused > read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_have_their_values),
        cmocka_unit_test(other_values_are_told_apart),
        cmocka_unit_test(containers_hold_what_was_put_in),
        cmocka_unit_test(what_is_recalled_is_the_same_value),
        cmocka_unit_test(a_list_may_hold_itself_and_is_freed_once),
        cmocka_unit_test(only_the_owner_says_what_its_globals_make),
        cmocka_unit_test(metadata_is_read_and_left),
        cmocka_unit_test(every_opcode_that_weights_do_not_need_is_refused_by_name),
        cmocka_unit_test(every_way_to_call_something_is_refused_by_name),
        cmocka_unit_test(no_state_is_set_but_a_state_dicts_metadata),
        cmocka_unit_test(a_later_protocol_is_named),
        cmocka_unit_test(no_opcode_takes_more_than_is_there),
        cmocka_unit_test(what_was_never_stored_is_not_recalled),
        cmocka_unit_test(lengths_beyond_the_end_are_refused),
        cmocka_unit_test(everything_has_a_limit),
        cmocka_unit_test(every_cut_of_a_pickle_is_refused),
        cmocka_unit_test(changed_bytes_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
