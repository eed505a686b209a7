/* SPDX-License-Identifier: Apache-2.0
 * Stacks that take turns. */
#include "kernel.h"

#include <cstdlib>
#include <sys/mman.h>

constexpr size_t STACK_BYTES = 128 << 10, GUARD_BYTES = 4096;

static char *stacks;
static bool made[MAX_THREADS];
static void (*entry_of_all)(unsigned fiber);

#if defined(__x86_64__)

static void *pointers[MAX_THREADS + 1];
static unsigned starting;

/* Keeps what a call must, and the stack. */
extern "C" void fake_switch_stacks(void **from, void *to);
asm(R"(
    .text
    .type fake_switch_stacks, @function
    .hidden fake_switch_stacks
    .globl fake_switch_stacks
fake_switch_stacks:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size fake_switch_stacks, . - fake_switch_stacks
)");

static void begin()
{
    entry_of_all(starting);
    abort(); /* an entry never returns */
}

/* Tops a whole stack apart would all lie in the same few lines of the cache. */
static void prepare(unsigned fiber)
{
    void **top = (void **)(stacks + (fiber + 1) * STACK_BYTES - fiber % 61 * 320);
    top[-1] = NULL; /* nowhere to return to */
    top[-2] = (void *)begin;
    pointers[fiber] = top - 8;
}

static void change(unsigned from, unsigned to)
{
    starting = to;
    fake_switch_stacks(&pointers[from], pointers[to]);
}

#else

#include <ucontext.h>

static ucontext_t contexts[MAX_THREADS + 1];

static void begin(int fiber)
{
    entry_of_all((unsigned)fiber);
    abort();
}

static void prepare(unsigned fiber)
{
    getcontext(&contexts[fiber]);
    contexts[fiber].uc_stack.ss_sp = stacks + fiber * STACK_BYTES + GUARD_BYTES;
    contexts[fiber].uc_stack.ss_size = STACK_BYTES - GUARD_BYTES;
    makecontext(&contexts[fiber], (void (*)())begin, 1, (int)fiber);
}

static void change(unsigned from, unsigned to)
{
    swapcontext(&contexts[from], &contexts[to]);
}

#endif

bool fibers_make(void (*entry)(unsigned fiber))
{
    if (stacks)
        return true;
    void *p = mmap(NULL, MAX_THREADS * STACK_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (p == MAP_FAILED)
        return false;
    stacks = (char *)p;
    entry_of_all = entry;
    return true;
}

void fiber_switch(unsigned from, unsigned to)
{
    if (to != SCHEDULER && !made[to]) {
        mprotect(stacks + to * STACK_BYTES, GUARD_BYTES, PROT_NONE);
        prepare(to);
        made[to] = true;
    }
    change(from, to);
}

void fibers_forget()
{
    for (bool &m : made)
        m = false;
}

bool on_fiber(const void *p)
{
    return stacks && (uintptr_t)p - (uintptr_t)stacks < MAX_THREADS * STACK_BYTES;
}
