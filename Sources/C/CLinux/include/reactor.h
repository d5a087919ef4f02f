#pragma once
#include <errno.h>
#include <stdint.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

/* epoll: the event's data is a pointer or a small number that the owner chose. */
static inline int roost_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

static inline int roost_epoll_set(int ep, int op, int fd, uint32_t events, uint64_t data) {
  struct epoll_event e;
  e.events = events;
  e.data.u64 = data;
  return epoll_ctl(ep, op, fd, &e);
}

static inline uint64_t roost_event_data(const struct epoll_event *e) { return e->data.u64; }
static inline uint32_t roost_event_bits(const struct epoll_event *e) { return e->events; }

enum { ROOST_IN = EPOLLIN, ROOST_OUT = EPOLLOUT, ROOST_HANGUP = EPOLLRDHUP, ROOST_ERROR = EPOLLERR | EPOLLHUP };
enum { ROOST_ADD = EPOLL_CTL_ADD, ROOST_MOD = EPOLL_CTL_MOD, ROOST_DEL = EPOLL_CTL_DEL };

static inline int roost_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

static inline int64_t roost_now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t roost_wall_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static inline int roost_errno(void) { return errno; }
static inline int roost_would_block(int e) { return e == EAGAIN || e == EWOULDBLOCK; }
/* A socket failed for want of something on this machine, whoever is at its other end. */
static inline int roost_is_shortage(int e) {
  return e == EMFILE || e == ENFILE || e == ENOMEM || e == ENOBUFS || e == EADDRNOTAVAIL;
}

static inline ssize_t roost_send(int fd, const void *p, size_t n) { return send(fd, p, n, MSG_NOSIGNAL); }
static inline ssize_t roost_recv(int fd, void *p, size_t n) { return recv(fd, p, n, 0); }

/* Needs _GNU_SOURCE: in clinux.c. Non-blocking, close-on-exec. */
int roost_accept(int fd, struct sockaddr_storage *peer);
/* Numeric address:port of a peer into out; returns its length. */
size_t roost_peer_name(const struct sockaddr_storage *peer, char *out, size_t size);
/* Numeric address of a peer without its port, `unix` for others; returns its length. */
size_t roost_peer_address(const struct sockaddr_storage *peer, uint8_t *out, size_t size);
/* A listening TCP socket with SO_REUSEPORT; -errno on failure. `host` is numeric. */
int roost_listen_tcp(const char *host, uint16_t port, int backlog);
/* Port that a socket is bound to. */
int roost_bound_port(int fd);
/* Starts a non-blocking connect; the socket, or -errno. Paths of any length go through /proc/self/fd. */
int roost_connect_unix(const char *path);
int roost_connect_tcp(const char *host, uint16_t port);
/* Makes TCP ask a silent peer after so many seconds, again after others, and give up after so many times. */
int roost_keep_alive(int fd, int idle, int interval, int count);
/* Whether a host is a numeric address of IPv4 or IPv6. */
int roost_is_numeric(const char *host);
/* Whether an idle socket has neither bytes nor an end to read. */
int roost_is_quiet(int fd);
/* A listening unix socket at a path of any length; replaces a socket file that nobody listens on. -errno on failure. */
int roost_listen_unix(const char *path, int backlog);
/* The same with permissions for the file; -1: as the umask says. Nobody can connect before they are set. */
int roost_listen_unix_mode(const char *path, int backlog, int mode);
/* Device and inode of a socket's file, as one number; 0 when there is no socket at the path. */
uint64_t roost_socket_file(const char *path);
/* The 16 bytes of a peer's address (IPv4 in its form of IPv6) as two numbers; 0 when it has none: a unix socket. */
int roost_peer_bits(const struct sockaddr_storage *peer, uint64_t *high, uint64_t *low);
/* Makes an address of a peer out of two such numbers; without `known` one that has no address, as of a unix socket. */
void roost_set_peer(struct sockaddr_storage *peer, int known, uint64_t high, uint64_t low, uint16_t port);
/* An address of two such numbers as text, without a zero at its end; its length, 39 at most. */
size_t roost_address_text(uint64_t high, uint64_t low, uint8_t *out, size_t size);
/* Removes a file. */
int roost_remove(const char *path);
/* Where a listening socket is bound: `host:port` (numeric) or `unix:/path`, into out; its length, 0 when it does not listen. */
size_t roost_bound_name(int fd, char *out, size_t size);
/* Makes a descriptor that was inherited non-blocking and close-on-exec. */
int roost_take_over(int fd);
/* Two connected stream sockets that are not inherited. */
int roost_socket_pair(int *ends);
/* Sends a datagram to the service manager's socket (`@name`: abstract). 0, or -errno. */
int roost_notify(const char *socket_name, const char *text);
/* The lowest number that a new descriptor would get; -errno when there is none. `fd`: any that is open. */
int roost_next_descriptor(int fd);
/* Another descriptor of the same socket; -errno on failure. */
int roost_duplicate(int fd);
/* SO_ERROR of a socket. */
int roost_socket_error(int fd);
/* Pid of a unix socket's peer as seen from here, or 0. */
int roost_peer_pid(int fd);
/* Resolves a name and connects blocking within a time; the socket, -errno, or -10000 - gai error. */
int roost_dial(const char *host, uint16_t port, int timeout_ms);
/* Resolves a name (blocking): numeric addresses, one a line, in the order to try them. 0, or a gai error. */
int roost_resolve(const char *host, char *out, size_t size);
/* Sets receive and send time-outs. */
int roost_set_timeout(int fd, int64_t timeout_ms);
/* Raises the soft limit of open files to the hard one; the limit in force. Processes that `roost_spawn` starts get what was
   in force before: many take a high limit for a number of files to go through. */
uint64_t roost_raise_open_files(void);
/* Names the calling thread. */
void roost_name_thread(const char *name);
int roost_cores(void);
/* The scheduling statistics of the calling thread, kept open; -errno where the kernel has none. */
int roost_open_schedule(void);
/* Nanoseconds that the thread of such a file ran, and that it was ready to and others did. 0, or -errno. */
int roost_read_schedule(int fd, int64_t *ran, int64_t *waited);
static inline int roost_close(int fd) { return close(fd); }
static inline const char *roost_error_text(int e) { return strerror(e); }
#include <signal.h>
enum { ROOST_SIGUSR1 = SIGUSR1, ROOST_EINTR = EINTR, ROOST_EINVAL = EINVAL };
static inline int roost_signal(int pid, int number) { return kill(pid, number); }
static inline int roost_own_pid(void) { return getpid(); }
static inline void roost_copy(void *to, const void *from, size_t n) { if (n) memcpy(to, from, n); }
