// What a tree of processes costs: CPU time by the nanosecond, memory now, and at its highest.
#include "pbench.h"
#include <time.h>

static uint64_t kilobytes(int pid, const char *file, const char *field) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
  FILE *in = fopen(path, "r");
  if (!in) return 0;
  uint64_t found = 0;
  while (fgets(line, sizeof line, in))
    if (!strncmp(line, field, strlen(field))) found = strtoull(line + strlen(field), NULL, 10);
  fclose(in);
  return found;
}

static uint64_t cpu_us(int pid) {
  clockid_t clock;
  struct timespec used;
  if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &used)) return 0;
  return used.tv_sec * 1000000ull + used.tv_nsec / 1000;
}

// Calls `visit` for a process and its descendants; the peers that fork do so from their first thread.
static void walk(int pid, void (*visit)(int, void *), void *with) {
  visit(pid, with);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
  FILE *in = fopen(path, "r");
  if (!in) return;
  for (int child; fscanf(in, "%d", &child) == 1;) walk(child, visit, with);
  fclose(in);
}

static void add(int pid, void *sum) {
  struct cost *cost = sum;
  cost->cpu_us += cpu_us(pid);
  cost->pss_kb += kilobytes(pid, "smaps_rollup", "Pss:");
  cost->peak_kb += kilobytes(pid, "status", "VmHWM:");
}

static void forget(int pid, void *unused) {
  (void)unused;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/clear_refs", pid);
  FILE *out = fopen(path, "w");
  if (!out) return;
  fputs("5", out);
  fclose(out);
}

struct cost cost_of(int pid) {
  struct cost cost = {0};
  walk(pid, add, &cost);
  return cost;
}

void forget_peak(int pid) { walk(pid, forget, NULL); }
