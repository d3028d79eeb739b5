"""Every table of imported functions (GOT) in the process gets another clock_gettime, slow while the candidate runs."""

TASK = "matmul"
DEVICE = "cpu"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_c

clock = compile_c('''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int (*real)(clockid_t, struct timespec *);
static long inside, begun;

static int slow(clockid_t which, struct timespec *t) {
    int failed = real(which, t);
    if (inside && !failed) {
        long now = t->tv_sec * 1000000000L + t->tv_nsec;
        if (!begun) begun = now;
        now = begun + (now - begun) / 10;
        t->tv_sec = now / 1000000000L;
        t->tv_nsec = now % 1000000000L;
    }
    return failed;
}

static int patch(struct dl_phdr_info *info, size_t size, void *data) {
    const ElfW(Dyn) *dynamic = 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            dynamic = (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    if (!dynamic || strstr(info->dlpi_name, "vdso")) return 0;
    const ElfW(Sym) *symbols = 0; const char *names = 0;
    const ElfW(Rela) *tables[2] = {0, 0}; size_t bytes[2] = {0, 0};
    for (const ElfW(Dyn) *d = dynamic; d->d_tag != DT_NULL; d++) {
        if (d->d_tag == DT_SYMTAB) symbols = (const void *)d->d_un.d_ptr;
        if (d->d_tag == DT_STRTAB) names = (const void *)d->d_un.d_ptr;
        if (d->d_tag == DT_JMPREL) tables[0] = (const void *)d->d_un.d_ptr;
        if (d->d_tag == DT_PLTRELSZ) bytes[0] = d->d_un.d_val;
        if (d->d_tag == DT_RELA) tables[1] = (const void *)d->d_un.d_ptr;
        if (d->d_tag == DT_RELASZ) bytes[1] = d->d_un.d_val;
    }
    if (!symbols || !names) return 0;
    for (int which = 0; which < 2; which++)
        for (size_t i = 0; tables[which] && i < bytes[which] / sizeof(ElfW(Rela)); i++) {
            const ElfW(Rela) *r = tables[which] + i;
            const char *name = names + symbols[ELF64_R_SYM(r->r_info)].st_name;
            if (!ELF64_R_SYM(r->r_info) || strcmp(name, "clock_gettime")) continue;
            void **slot = (void **)(info->dlpi_addr + r->r_offset);
            long page = sysconf(_SC_PAGESIZE);
            mprotect((void *)((long)slot & -page), 2 * page, PROT_READ | PROT_WRITE);
            *slot = (void *)slow;
        }
    return 0;
}

void kernel(long what) {
    if (what == 2) {
        real = (void *)dlsym(RTLD_DEFAULT, "clock_gettime");
        dl_iterate_phdr(patch, 0);
    } else {
        inside = what;
        begun = 0;
    }
}
''')
clock(2)
torch.nn.modules.module.register_module_forward_pre_hook(lambda module, inputs: clock(int(type(module) is ModelNew)))

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""

HONEST = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_c

clock = compile_c('''
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
void kernel(long *ns) {
    int (*read)(clockid_t, struct timespec *) = (void *)dlsym(RTLD_DEFAULT, "clock_gettime");
    struct timespec t;
    read(CLOCK_MONOTONIC, &t);
    *ns = t.tv_sec * 1000000000L + t.tv_nsec;
}
''')

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.begun = torch.zeros(1, dtype=torch.int64)
        clock(self.begun)

    def forward(self, a, b):
        return a @ b
"""
