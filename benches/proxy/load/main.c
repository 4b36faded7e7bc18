// pbench: an app to stand behind a proxy, load to put before it, and a meter of what the proxy costs. Linux only, loopback only.
#include "pbench.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <strings.h>
#include <sys/resource.h>
#include <time.h>

static int usage(void) {
  fputs("pbench upstream PORT COUNT HOSTS    an app on COUNT ports of HOSTS addresses from 127.0.0.1 on: GET /1k /100k /bytes/N /ws, POST anything\n"
        "pbench load OPTIONS PORT      load on 127.0.0.1:PORT, and one line of JSON\n"
        "pbench cost PID               what a process and its children have cost, as JSON\n"
        "options of load:\n"
        "  -c N     connections (64)           -d SECS  measured time (1)\n"
        "  -w SECS  time before it (0.3)       -n N     end after N requests\n"
        "  -p PATH  path (/1k)                 -H HOST  host (app0.test)\n"
        "  -N N     rotate app0.test … app<N-1>.test\n"
        "  -P N     post N bytes               -W N     websocket messages of N bytes\n"
        "  -k       a connection per request   -R RATE  requests per second, at Poisson's times (open loop)\n"
        "  -I       one request on each connection, then idle\n"
        "  -i PID   what the process and its children cost meanwhile\n",
        stderr);
  return 2;
}

static int print_cost(int pid) {
  struct cost cost = cost_of(pid);
  printf("{\"cpu_us\":%lu,\"pss_kb\":%lu,\"peak_kb\":%lu}\n", cost.cpu_us, cost.pss_kb, cost.peak_kb);
  return 0;
}

int main(int argc, char **argv) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  signal(SIGPIPE, SIG_IGN);
  const char *verb = argc > 1 ? argv[1] : "";
  if (!strcmp(verb, "upstream") && argc == 5) return upstream(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
  if (!strcmp(verb, "load") && argc > 2) return load(argc - 1, argv + 1);
  if (!strcmp(verb, "cost") && argc == 3) return print_cost(atoi(argv[2]));
  return usage();
}

// ---- what the parts share

void die(const char *what) {
  perror(what);
  exit(1);
}

uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000ull + now.tv_nsec;
}

void send_at_once(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

char *header(char *head, const char *end, const char *name) {
  size_t len = strlen(name);
  for (char *line = head; (line = memchr(line, '\n', end - line)) && line + 1 + len < end;) {
    line++;
    if (line[len] == ':' && !strncasecmp(line, name, len)) return line + len + 1 + strspn(line + len + 1, " ");
  }
  return NULL;
}
