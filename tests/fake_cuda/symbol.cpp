/* SPDX-License-Identifier: Apache-2.0
 * What a kernel is called: most are static, so only their file's table of symbols knows. */
#include "internal.h"

#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct module {
    uintptr_t code;
    uintptr_t base;
    std::string file;
};

static int look_at(struct dl_phdr_info *info, size_t, void *data)
{
    module *m = (module *)data;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const auto &h = info->dlpi_phdr[i];
        if (h.p_type != PT_LOAD || m->code - (info->dlpi_addr + h.p_vaddr) >= h.p_memsz)
            continue;
        m->base = info->dlpi_addr;
        m->file = *info->dlpi_name ? info->dlpi_name : "/proc/self/exe";
        return 1;
    }
    return 0;
}

static bool in_file(size_t offset, size_t bytes, size_t file_bytes)
{
    return offset <= file_bytes && bytes <= file_bytes - offset;
}

static std::string find_in(const char *elf, size_t bytes, uintptr_t address)
{
    const auto *header = (const ElfW(Ehdr) *)elf;
    if (!in_file(0, sizeof *header, bytes) || memcmp(elf, ELFMAG, SELFMAG) != 0 ||
        !in_file(header->e_shoff, header->e_shnum * sizeof(ElfW(Shdr)), bytes))
        return "";
    const auto *sections = (const ElfW(Shdr) *)(elf + header->e_shoff);
    for (int i = 0; i < header->e_shnum; i++) {
        const auto &table = sections[i];
        if (table.sh_type != SHT_SYMTAB || table.sh_link >= header->e_shnum)
            continue;
        const auto &strings = sections[table.sh_link];
        if (!in_file(table.sh_offset, table.sh_size, bytes) ||
            !in_file(strings.sh_offset, strings.sh_size, bytes))
            continue;
        const auto *symbols = (const ElfW(Sym) *)(elf + table.sh_offset);
        for (size_t k = 0; k < table.sh_size / sizeof *symbols; k++)
            if (ELF64_ST_TYPE(symbols[k].st_info) == STT_FUNC &&
                address - symbols[k].st_value < symbols[k].st_size &&
                symbols[k].st_name < strings.sh_size)
                return elf + strings.sh_offset + symbols[k].st_name;
    }
    return "";
}

static std::string mangled(const module &m)
{
    int fd = open(m.file.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0)
        return "";
    std::string name;
    if (fstat(fd, &status) == 0 && status.st_size > 0) {
        size_t bytes = (size_t)status.st_size;
        void *p = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p != MAP_FAILED) {
            name = find_in((const char *)p, bytes, m.code - m.base);
            munmap(p, bytes);
        }
    }
    close(fd);
    return name;
}

std::string symbol_name(const void *code)
{
    module m = {(uintptr_t)code, 0, ""};
    if (!dl_iterate_phdr(look_at, &m))
        return text("%p", code);
    std::string name = mangled(m);
    if (name.empty())
        return code_place(code);
    int status;
    char *demangled = abi::__cxa_demangle(name.c_str(), NULL, NULL, &status);
    if (demangled)
        name = demangled;
    free(demangled);
    return name;
}

std::string code_place(const void *code)
{
    module m = {(uintptr_t)code, 0, ""};
    if (!dl_iterate_phdr(look_at, &m))
        return text("%p", code);
    return m.file.substr(m.file.rfind('/') + 1) + text("+%#zx", (size_t)(m.code - m.base));
}
