/* SPDX-License-Identifier: Apache-2.0
 * Opcodes as Python's pickletools documents them. */
#include "model/weights/pickle.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/weights/pickle_tree.h"

enum { GLOBAL_MAX_BYTES = 200, STACK_ROOM = 64 /* at first */ };

static const char ordered_dict[] = "collections.OrderedDict";
static const size_t ordered_dict_index = SIZE_MAX;

struct reader {
    struct pickle *pickle;
    const struct pickle_rules *rules;
    const char *place;
    struct error *error;
    const unsigned char *start, *at, *end;
    const unsigned char *opcode_at;
    const struct opcode *opcode; /* that runs */
    struct pickle_value **stack;
    size_t depth, stack_room;
    size_t marks[PICKLE_MAX_MARKS], n_marks;
    struct pickle_value **memo;
    size_t memo_room;
};

struct opcode {
    const char *name;
    int (*run)(struct reader *r, int argument); /* NULL: refused */
    int argument;
};

static const struct opcode opcodes[256];

/* "PLACE: the pickle's OPCODE at byte N …" */
__attribute__((format(printf, 2, 3))) static int damaged(struct reader *r, const char *format, ...)
{
    char text[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return error_set(r->error, EINVAL, "%s: the pickle's %s at byte %td %s: the file is damaged",
                     r->place, r->opcode->name, r->opcode_at - r->start, text);
}

static int no_memory(struct reader *r)
{
    return error_set(r->error, ENOMEM, "%s: out of memory", r->place);
}

/* The stack */

static int push(struct reader *r, struct pickle_value *v)
{
    if (v == NULL)
        return no_memory(r);
    if (r->depth == PICKLE_MAX_STACK)
        return damaged(r, "leaves more than %d values waiting", PICKLE_MAX_STACK);
    if (r->depth == r->stack_room) {
        size_t room = 2 * r->stack_room;
        struct pickle_value **grown = realloc(r->stack, room * sizeof(*grown));
        if (grown == NULL)
            return no_memory(r);
        r->stack = grown;
        r->stack_room = room;
    }
    r->stack[r->depth++] = v;
    return 0;
}

/* Values below the last mark are out of reach until it is taken away. */
static int need(struct reader *r, size_t n)
{
    size_t floor = r->n_marks > 0 ? r->marks[r->n_marks - 1] : 0;
    return r->depth - floor >= n ? 0 : damaged(r, "takes a value that is not there");
}

/* Takes away the last mark; what lay above it is stack[depth], …, n values, until the next push. */
static int pop_mark(struct reader *r, size_t *ret_n)
{
    if (r->n_marks == 0)
        return damaged(r, "looks for a mark that is not there");
    size_t mark = r->marks[--r->n_marks];
    *ret_n = r->depth - mark;
    r->depth = mark;
    return 0;
}

static struct pickle_value *top(const struct reader *r)
{
    return r->stack[r->depth - 1];
}

/* Arguments of opcodes */

static int take(struct reader *r, size_t n, const unsigned char **ret)
{
    if ((size_t)(r->end - r->at) < n)
        return damaged(r, "runs over the end");
    *ret = r->at;
    r->at += n;
    return 0;
}

/* A little-endian number of up to 8 bytes. */
static int take_number(struct reader *r, size_t n, uint64_t *ret)
{
    const unsigned char *bytes = NULL;
    int code = take(r, n, &bytes);
    if (code < 0)
        return code;
    *ret = 0;
    for (size_t i = n; i-- > 0;)
        *ret = *ret << 8 | bytes[i];
    return 0;
}

static int push_integer(struct reader *r, int64_t integer)
{
    struct pickle_value *v = pickle_value(r->pickle, PICKLE_INT);
    if (v != NULL)
        v->integer = integer;
    return push(r, v);
}

/* Opcodes: plain values */

static int run_empty(struct reader *r, int kind)
{
    return push(r, pickle_value(r->pickle, (enum pickle_kind)kind));
}

static int run_truth(struct reader *r, int truth)
{
    struct pickle_value *v = pickle_value(r->pickle, PICKLE_BOOL);
    if (v != NULL)
        v->truth = truth;
    return push(r, v);
}

static int run_int(struct reader *r, int width)
{
    uint64_t v = 0;
    int code = take_number(r, (size_t)width, &v);
    if (code < 0)
        return code;
    return push_integer(r, width == 4 ? (int32_t)(uint32_t)v : (int64_t)v);
}

static int run_proto(struct reader *r, int unused)
{
    uint64_t protocol = 0;
    int code = take_number(r, 1, &protocol);
    if (code == 0 && (protocol < 2 || protocol > 3))
        return error_set(r->error, EINVAL,
                         "%s: it is written in pickle protocol %" PRIu64
                         "; expected: 2, torch.save's own",
                         r->place, protocol);
    return code;
}

static int run_long1(struct reader *r, int unused)
{
    uint64_t length = 0, v = 0;
    const unsigned char *bytes;
    int code = take_number(r, 1, &length);
    if (code == 0 && length > sizeof v) {
        code = take(r, length, &bytes);
        return code < 0 ? code : push(r, pickle_value(r->pickle, PICKLE_OTHER));
    }
    if (code == 0)
        code = take_number(r, length, &v);
    if (code < 0)
        return code;
    if (length > 0 && length < sizeof v && v >> (8 * length - 1) != 0)
        v |= UINT64_MAX << (8 * length);
    return push_integer(r, (int64_t)v);
}

static int run_float(struct reader *r, int unused)
{
    const unsigned char *bytes;
    int code = take(r, 8, &bytes);
    return code < 0 ? code : push(r, pickle_value(r->pickle, PICKLE_OTHER));
}

static int run_unicode(struct reader *r, int unused)
{
    uint64_t length = 0;
    const unsigned char *bytes = NULL;
    int code = take_number(r, 4, &length);
    if (code == 0 && length > PICKLE_MAX_STRING)
        return damaged(r, "has %" PRIu64 " bytes of text, up to %d are allowed", length,
                       PICKLE_MAX_STRING);
    if (code == 0)
        code = take(r, length, &bytes);
    if (code < 0)
        return code;
    struct pickle_value *v = pickle_value(r->pickle, PICKLE_STRING);
    if (v != NULL) {
        v->text = (const char *)bytes;
        v->n = length;
    }
    return push(r, v);
}

/* Opcodes: containers */

static int run_mark(struct reader *r, int unused)
{
    if (r->n_marks == PICKLE_MAX_MARKS)
        return damaged(r, "is nested deeper than %d", PICKLE_MAX_MARKS);
    r->marks[r->n_marks++] = r->depth;
    return 0;
}

/* A tuple of the n values from stack[depth] on. */
static int push_tuple(struct reader *r, size_t n)
{
    struct pickle_value *v = pickle_value(r->pickle, PICKLE_TUPLE);
    if (v == NULL || !pickle_add(v, r->stack + r->depth, n))
        return no_memory(r);
    return push(r, v);
}

static int run_short_tuple(struct reader *r, int n)
{
    int code = need(r, (size_t)n);
    if (code < 0)
        return code;
    r->depth -= (size_t)n;
    return push_tuple(r, (size_t)n);
}

static int run_tuple(struct reader *r, int unused)
{
    size_t n = 0;
    int code = pop_mark(r, &n);
    return code < 0 ? code : push_tuple(r, n);
}

/* Adds the n values from stack[depth] on to the container below them. */
static int extend(struct reader *r, enum pickle_kind kind, size_t n)
{
    int code = need(r, 1);
    if (code < 0)
        return code;
    if (top(r)->kind != kind || (kind == PICKLE_DICT && n % 2 != 0))
        return damaged(r, kind == PICKLE_DICT ? "finds no dictionary, or a key without a value"
                                              : "finds no list");
    return pickle_add(top(r), r->stack + r->depth, n) ? 0 : no_memory(r);
}

static int run_add(struct reader *r, int kind)
{
    size_t n = kind == PICKLE_DICT ? 2 : 1;
    int code = need(r, n + 1);
    if (code < 0)
        return code;
    r->depth -= n;
    return extend(r, (enum pickle_kind)kind, n);
}

static int run_add_marked(struct reader *r, int kind)
{
    size_t n = 0;
    int code = pop_mark(r, &n);
    return code < 0 ? code : extend(r, (enum pickle_kind)kind, n);
}

/* Opcodes: memory */

static int run_get(struct reader *r, int width)
{
    uint64_t i = 0;
    int code = take_number(r, (size_t)width, &i);
    if (code < 0)
        return code;
    if (i >= r->memo_room || r->memo[i] == NULL)
        return damaged(r, "recalls value %" PRIu64 ", which was never stored", i);
    return push(r, r->memo[i]);
}

static int run_put(struct reader *r, int width)
{
    uint64_t i = 0;
    int code = take_number(r, (size_t)width, &i);
    if (code == 0)
        code = need(r, 1);
    if (code < 0)
        return code;
    if (i >= PICKLE_MAX_MEMO)
        return damaged(r, "stores value %" PRIu64 "; allowed: below %d", i, PICKLE_MAX_MEMO);
    if (i >= r->memo_room) {
        size_t room = pickle_room(i + 1);
        struct pickle_value **grown = realloc(r->memo, room * sizeof(*grown));
        if (grown == NULL)
            return no_memory(r);
        memset(grown + r->memo_room, 0, (room - r->memo_room) * sizeof(*grown));
        r->memo = grown;
        r->memo_room = room;
    }
    r->memo[i] = top(r);
    return 0;
}

/* Opcodes: what would run code elsewhere */

/* A line without its end; ret points into the file. */
static int take_line(struct reader *r, const char **ret, int *ret_n)
{
    const unsigned char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
    if (newline == NULL || newline - r->at > GLOBAL_MAX_BYTES)
        return damaged(r, "has no name, or one of more than %d bytes", GLOBAL_MAX_BYTES);
    *ret = (const char *)r->at;
    *ret_n = (int)(newline - r->at);
    r->at = newline + 1;
    return 0;
}

static int run_global(struct reader *r, int unused)
{
    const char *module = "", *name = "";
    int n_module = 0, n_name = 0;
    int code = take_line(r, &module, &n_module);
    if (code == 0)
        code = take_line(r, &name, &n_name);
    if (code < 0)
        return code;
    char whole[2 * GLOBAL_MAX_BYTES + 2], shown[sizeof whole];
    size_t n = (size_t)n_module + 1 + (size_t)n_name, i = 0;
    memcpy(whole, module, (size_t)n_module);
    whole[n_module] = '.';
    memcpy(whole + n_module + 1, name, (size_t)n_name);
    whole[n] = '\0';
    pickle_printable(whole, n, shown, sizeof shown);
    const char *const *known = r->rules->globals;
    while (known != NULL && known[i] != NULL && strcmp(known[i], whole) != 0)
        i++;
    bool found = known != NULL && known[i] != NULL;
    if (strlen(whole) != n || (!found && strcmp(whole, ordered_dict) != 0))
        return error_set(r->error, EINVAL,
                         "%s: it wants to call %s; a file of weights needs only tensors: do not "
                         "use it",
                         r->place, shown);
    struct pickle_value *v = pickle_value(r->pickle, PICKLE_GLOBAL);
    if (v != NULL)
        v->index = found ? i : ordered_dict_index;
    return push(r, v);
}

static int run_reduce(struct reader *r, int unused)
{
    int code = need(r, 2);
    if (code < 0)
        return code;
    const struct pickle_value *callee = r->stack[r->depth - 2], *args = top(r);
    struct pickle_value *result = NULL;
    if (callee->kind != PICKLE_GLOBAL || args->kind != PICKLE_TUPLE)
        return damaged(r, "calls what is no function");
    if (callee->index != ordered_dict_index) {
        code = r->rules->call(r->rules->context, r->pickle, callee->index, args, &result, r->error);
    } else if (args->n != 0) {
        code = damaged(r, "fills an OrderedDict by a call");
    } else {
        result = pickle_value(r->pickle, PICKLE_DICT);
        if (result != NULL)
            result->ordered = true;
    }
    r->depth -= 2;
    return code < 0 ? code : push(r, result);
}

/* A state_dict carries the versions of its modules as an attribute. */
static int run_build(struct reader *r, int unused)
{
    int code = need(r, 2);
    if (code < 0)
        return code;
    const struct pickle_value *state = top(r), *target = r->stack[r->depth - 2];
    bool metadata = state->kind == PICKLE_DICT && target->kind == PICKLE_DICT && target->ordered;
    for (size_t i = 0; metadata && i < state->n; i += 2)
        metadata = pickle_is_text(state->items[i], "_metadata");
    if (!metadata)
        return error_set(r->error, EINVAL,
                         "%s: it wants to set the state of an object (BUILD); a file of weights "
                         "needs only tensors: do not use it",
                         r->place);
    r->depth--;
    return 0;
}

static int run_persistent(struct reader *r, int unused)
{
    int code = need(r, 1);
    if (code < 0)
        return code;
    if (r->rules->persistent == NULL)
        return damaged(r, "names a storage where there can be none");
    struct pickle_value *result = NULL;
    code = r->rules->persistent(r->rules->context, r->pickle, top(r), &result, r->error);
    r->depth--;
    return code < 0 ? code : push(r, result);
}

static int run_stop(struct reader *r, int unused)
{
    if (r->depth != 1 || r->n_marks != 0)
        return damaged(r, "leaves %zu values, not one", r->depth);
    r->pickle->root = top(r);
    return 0;
}

static const struct opcode opcodes[256] = {
    ['('] = {"MARK", run_mark, 0},
    [')'] = {"EMPTY_TUPLE", run_empty, PICKLE_TUPLE},
    ['.'] = {"STOP", run_stop, 0},
    ['G'] = {"BINFLOAT", run_float, 0},
    ['J'] = {"BININT", run_int, 4},
    ['K'] = {"BININT1", run_int, 1},
    ['M'] = {"BININT2", run_int, 2},
    ['N'] = {"NONE", run_empty, PICKLE_NONE},
    ['Q'] = {"BINPERSID", run_persistent, 0},
    ['R'] = {"REDUCE", run_reduce, 0},
    ['X'] = {"BINUNICODE", run_unicode, 0},
    [']'] = {"EMPTY_LIST", run_empty, PICKLE_LIST},
    ['a'] = {"APPEND", run_add, PICKLE_LIST},
    ['b'] = {"BUILD", run_build, 0},
    ['c'] = {"GLOBAL", run_global, 0},
    ['e'] = {"APPENDS", run_add_marked, PICKLE_LIST},
    ['h'] = {"BINGET", run_get, 1},
    ['j'] = {"LONG_BINGET", run_get, 4},
    ['q'] = {"BINPUT", run_put, 1},
    ['r'] = {"LONG_BINPUT", run_put, 4},
    ['s'] = {"SETITEM", run_add, PICKLE_DICT},
    ['t'] = {"TUPLE", run_tuple, 0},
    ['u'] = {"SETITEMS", run_add_marked, PICKLE_DICT},
    ['}'] = {"EMPTY_DICT", run_empty, PICKLE_DICT},
    [0x80] = {"PROTO", run_proto, 0},
    [0x85] = {"TUPLE1", run_short_tuple, 1},
    [0x86] = {"TUPLE2", run_short_tuple, 2},
    [0x87] = {"TUPLE3", run_short_tuple, 3},
    [0x88] = {"NEWTRUE", run_truth, true},
    [0x89] = {"NEWFALSE", run_truth, false},
    [0x8a] = {"LONG1", run_long1, 0},
};

static const struct {
    unsigned char byte;
    const char *name;
} refused[] = {
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

static int refuse(struct reader *r, unsigned char byte)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (refused[i].byte == byte)
            return error_set(r->error, EINVAL,
                             "%s: the pickle's %s at byte %td is nothing that a file of weights "
                             "needs: do not use it",
                             r->place, refused[i].name, r->opcode_at - r->start);
    return error_set(r->error, EINVAL,
                     "%s: 0x%02x at byte %td is no opcode of a pickle: the file is damaged",
                     r->place, byte, r->opcode_at - r->start);
}

static int run(struct reader *r)
{
    int code = 0;
    for (size_t steps = 0; code == 0 && r->pickle->root == NULL; steps++) {
        if (r->at == r->end)
            return error_set(r->error, EINVAL, "%s: the pickle ends in the middle: it is cut short",
                             r->place);
        if (steps == PICKLE_MAX_OPCODES)
            return error_set(r->error, EINVAL,
                             "%s: the pickle has more than %d opcodes: it is no file of weights",
                             r->place, PICKLE_MAX_OPCODES);
        r->opcode_at = r->at;
        r->opcode = &opcodes[*r->at++];
        code = r->opcode->run != NULL ? r->opcode->run(r, r->opcode->argument)
                                      : refuse(r, *r->opcode_at);
    }
    return code;
}

int pickle_read(struct pickle **ret, const char *place, const void *bytes, size_t size,
                const struct pickle_rules *rules, size_t *ret_used, struct error *error)
{
    struct reader *r = calloc(1, sizeof *r);
    struct pickle *p = calloc(1, sizeof *p);
    int code;
    if (r != NULL)
        r->stack = malloc(STACK_ROOM * sizeof(*r->stack));
    if (p == NULL || r == NULL || r->stack == NULL) {
        code = error_set(error, ENOMEM, "%s: out of memory", place);
    } else {
        r->pickle = p;
        r->stack_room = STACK_ROOM;
        r->rules = rules;
        r->place = place;
        r->error = error;
        r->start = r->at = bytes;
        r->end = r->start + size;
        code = run(r);
    }
    if (code == 0) {
        *ret_used = (size_t)(r->at - r->start);
        *ret = p;
    } else {
        pickle_destroy(p);
    }
    if (r != NULL) {
        free(r->stack);
        free(r->memo);
    }
    free(r);
    return code;
}
