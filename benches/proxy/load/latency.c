// A histogram of latencies: logarithmic in its magnitudes, linear within each.
#include "pbench.h"
#include <math.h>

#define STEPS 64
static uint64_t bins[64 * STEPS], count, longest;

void latency_record(uint64_t ns) {
  uint64_t tenths = ns / 100; // of a microsecond
  int magnitude = tenths < STEPS ? 0 : 63 - __builtin_clzll(tenths) - 5;
  bins[magnitude ? magnitude * STEPS + (tenths >> magnitude) : tenths]++;
  count++;
  if (ns > longest) longest = ns;
}

double latency_us(double quantile) {
  uint64_t wanted = ceil(count * quantile), seen = 0;
  if (!count) return 0;
  for (int i = 0; i < 64 * STEPS; i++) {
    seen += bins[i];
    if (seen < wanted) continue;
    int magnitude = i / STEPS;
    uint64_t tenths = (uint64_t)(i % STEPS) << magnitude;
    return (tenths + (magnitude ? (1ull << magnitude) / 2 : 0)) / 10.0;
  }
  return longest / 1000.0;
}
