// What the parts of pbench share: the clock, sockets, heads of messages.
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

int upstream(int port, int count, int hosts);
int load(int argc, char **argv);

// What the tree of processes under one has cost so far.
struct cost {
  uint64_t cpu_us, pss_kb, peak_kb;
};
struct cost cost_of(int pid);
void forget_peak(int pid);

// Latencies, in a histogram whose bins are 1.6 % wide.
void latency_record(uint64_t ns);
double latency_us(double quantile);

uint64_t now_ns(void);
void die(const char *what);
void send_at_once(int fd);

// Returns the value of a header in a head, or NULL; `end` is behind its last line.
char *header(char *head, const char *end, const char *name);
