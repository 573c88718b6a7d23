#ifndef UNDERSTUDY_TESTS_OWN_LIBRARY_H_
#define UNDERSTUDY_TESTS_OWN_LIBRARY_H_

// Tells calls that come from libunderstudy from those of the libraries below it (some kernels of
// OpenBLAS allocate within a product). Include before any system header: it needs _GNU_SOURCE.

#include <link.h>
#include <stdint.h>
#include <string.h>

static uintptr_t own_low, own_high;  // addresses of its code; 0 until own_library_find

static inline int own_library_visit(struct dl_phdr_info* info, size_t size, void* data) {
  (void)size, (void)data;
  if (!strstr(info->dlpi_name, "libunderstudy")) return 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr)* p = &info->dlpi_phdr[i];
    if (p->p_type != PT_LOAD || !(p->p_flags & PF_X)) continue;
    own_low = info->dlpi_addr + p->p_vaddr;
    own_high = own_low + p->p_memsz;
  }
  return 1;
}

// 1 when the library was found.
static inline int own_library_find(void) {
  dl_iterate_phdr(own_library_visit, NULL);
  return own_high > 0;
}

static inline int own_library_called(void* caller) {
  return (uintptr_t)caller >= own_low && (uintptr_t)caller < own_high;
}

#endif  // UNDERSTUDY_TESTS_OWN_LIBRARY_H_
