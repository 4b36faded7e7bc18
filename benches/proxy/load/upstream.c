// The app behind the proxies: one thread, epoll, answers made beforehand.
#include "pbench.h"
#include <netinet/in.h>
#include <strings.h>

#define BUFFER 65536
struct answer {
  char *bytes;
  size_t len;
};
static struct answer answer_empty, answer_1k, answer_100k;

enum kind { LISTENER, CLIENT, TUNNEL };
struct peer {
  enum kind kind;
  int fd, closes;
  size_t in;           // bytes in `buffer`
  uint64_t upload;     // bytes of the request's body that are still to come
  uint64_t download;   // bytes of a `/bytes/N` answer that are still to be made
  const char *out;     // what is to be sent, and how much of it
  size_t out_len;
  char head[256];      // of an answer made for this request
  char buffer[BUFFER];
};
static char filler[262144];

static size_t head_of(char *into, size_t size, uint64_t body) {
  return snprintf(into, size,
                  "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %lu\r\n"
                  "Date: Mon, 23 Nov 2026 17:00:00 GMT\r\n"
                  "Cache-Control: max-age=0, private, must-revalidate\r\nETag: W/\"f9b1a2c3d4e5f6\"\r\n\r\n",
                  body);
}

static struct answer make(size_t body) {
  struct answer answer = {malloc(512 + body), 0};
  answer.len = head_of(answer.bytes, 512, body);
  memset(answer.bytes + answer.len, 'x', body);
  answer.len += body;
  return answer;
}

static void say(struct peer *peer, const char *bytes, size_t len) {
  peer->out = bytes;
  peer->out_len = len;
}

static void drop_front(struct peer *peer, size_t len) {
  memmove(peer->buffer, peer->buffer + len, peer->in - len);
  peer->in -= len;
}

// Sends what is to be sent: 1 when all is gone, 0 when the socket is full, -1 when it is closed.
static int flush(struct peer *peer) {
  for (;;) {
    if (!peer->out_len && peer->download) {
      say(peer, filler, peer->download < sizeof filler ? peer->download : sizeof filler);
      peer->download -= peer->out_len;
    }
    if (!peer->out_len) return 1;
    ssize_t sent = send(peer->fd, peer->out, peer->out_len, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN ? 0 : -1;
    say(peer, peer->out + sent, peer->out_len - sent);
  }
}

static void answer_get(struct peer *peer, const char *path) {
  if (!strncmp(path, "/ws", 3)) {
    peer->kind = TUNNEL;
    static const char switching[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    say(peer, switching, sizeof switching - 1);
  } else if (!strncmp(path, "/bytes/", 7)) {
    peer->download = strtoull(path + 7, NULL, 10);
    say(peer, peer->head, head_of(peer->head, sizeof peer->head, peer->download));
  } else {
    struct answer *answer = strncmp(path, "/100k", 5) ? &answer_1k : &answer_100k;
    say(peer, answer->bytes, answer->len);
  }
}

// Takes a request's head from the buffer, if a whole one is there.
static int take_head(struct peer *peer) {
  char *end = memmem(peer->buffer, peer->in, "\r\n\r\n", 4);
  if (!end) return 0;
  char *connection = header(peer->buffer, end + 2, "connection"), *length = header(peer->buffer, end + 2, "content-length");
  peer->closes = connection && !strncasecmp(connection, "close", 5);
  peer->upload = length ? strtoull(length, NULL, 10) : 0;
  if (*peer->buffer == 'P' && peer->upload == 0) say(peer, answer_empty.bytes, answer_empty.len);
  if (*peer->buffer == 'G') answer_get(peer, peer->buffer + 4);
  drop_front(peer, end + 4 - peer->buffer);
  return 1;
}

static void take_upload(struct peer *peer) {
  size_t taken = peer->upload < peer->in ? peer->upload : peer->in;
  drop_front(peer, taken);
  peer->upload -= taken;
  if (!peer->upload) say(peer, answer_empty.bytes, answer_empty.len);
}

static void take_message(struct peer *peer) {
  say(peer, peer->buffer, peer->in);
  peer->in = 0;
}

// Goes on until the socket has nothing more to give or to take; 0 when the connection is over.
static int serve(struct peer *peer) {
  for (;;) {
    int gone = flush(peer);
    if (gone <= 0) return !gone;
    if (peer->closes && !peer->upload) return 0;
    if (peer->in && peer->kind == TUNNEL) {
      take_message(peer);
      continue;
    }
    if (peer->in && peer->upload) {
      take_upload(peer);
      continue;
    }
    if (peer->in && take_head(peer)) continue;
    if (peer->in == BUFFER) return 0;
    ssize_t got = recv(peer->fd, peer->buffer + peer->in, BUFFER - peer->in, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    peer->in += got;
  }
}

static void watch(int epoll, struct peer *peer, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = peer};
  epoll_ctl(epoll, EPOLL_CTL_ADD, peer->fd, &event);
}

static struct peer *new_peer(enum kind kind, int fd) {
  struct peer *peer = malloc(sizeof *peer);
  memset(peer, 0, offsetof(struct peer, head)); // and not its buffer: idle connections are to cost this process little
  peer->kind = kind;
  peer->fd = fd;
  return peer;
}

static void listen_on(int epoll, int host, int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK + host)};
  if (bind(fd, (void *)&address, sizeof address) || listen(fd, 4096)) die("upstream");
  watch(epoll, new_peer(LISTENER, fd), EPOLLIN);
}

static void accept_all(int epoll, struct peer *listener) {
  for (int fd; (fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
    send_at_once(fd);
    watch(epoll, new_peer(CLIENT, fd), EPOLLIN | EPOLLOUT | EPOLLET);
  }
}

int upstream(int port, int count, int hosts) {
  answer_empty = make(2), answer_1k = make(1024), answer_100k = make(102400);
  memset(filler, 'x', sizeof filler);
  int epoll = epoll_create1(0);
  for (int i = 0; i < count * hosts; i++) listen_on(epoll, i / count, port + i % count);
  for (;;) {
    struct epoll_event events[256];
    int ready = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < ready; i++) {
      struct peer *peer = events[i].data.ptr;
      if (peer->kind == LISTENER) {
        accept_all(epoll, peer);
      } else if (!serve(peer)) {
        close(peer->fd);
        free(peer);
      }
    }
  }
}
