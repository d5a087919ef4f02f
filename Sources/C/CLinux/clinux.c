#define _GNU_SOURCE
#include "CLinux.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

int roost_accept(int fd, struct sockaddr_storage *peer) {
  socklen_t size = sizeof *peer;
  peer->ss_family = AF_UNSPEC;
  return accept4(fd, (struct sockaddr *)peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

size_t roost_peer_name(const struct sockaddr_storage *peer, char *out, size_t size) {
  char text[INET6_ADDRSTRLEN] = "";
  int n = 0;
  if (peer->ss_family == AF_INET) {
    const struct sockaddr_in *in = (const struct sockaddr_in *)peer;
    inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
    n = snprintf(out, size, "%s:%u", text, ntohs(in->sin_port));
  } else if (peer->ss_family == AF_INET6) {
    const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)peer;
    inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof text);
    n = snprintf(out, size, "[%s]:%u", text, ntohs(in->sin6_port));
  } else {
    n = snprintf(out, size, "unix");
  }
  if (n < 0) return 0;
  return (size_t)n < size ? (size_t)n : size - 1;
}

size_t roost_peer_address(const struct sockaddr_storage *peer, uint8_t *out, size_t size) {
  if (peer->ss_family == AF_INET && size >= 15) {
    /* Written by hand: it is asked for with every proxied request. */
    const uint8_t *bytes = (const uint8_t *)&((const struct sockaddr_in *)peer)->sin_addr;
    size_t n = 0;
    for (int i = 0; i < 4; i++) {
      if (i) out[n++] = '.';
      if (bytes[i] >= 100) out[n++] = (uint8_t)('0' + bytes[i] / 100);
      if (bytes[i] >= 10) out[n++] = (uint8_t)('0' + bytes[i] / 10 % 10);
      out[n++] = (uint8_t)('0' + bytes[i] % 10);
    }
    return n;
  }
  char text[INET6_ADDRSTRLEN] = "unix";
  uint64_t high, low;
  if (peer->ss_family == AF_INET6 && roost_peer_bits(peer, &high, &low) && high == 0 && low >> 32 == 0xffff) {
    struct sockaddr_storage v4;
    roost_set_peer(&v4, 1, high, low, 0);
    return roost_peer_address(&v4, out, size);
  }
  if (peer->ss_family == AF_INET6) inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)peer)->sin6_addr, text, sizeof text);
  size_t n = strlen(text);
  if (n > size) n = size;
  memcpy(out, text, n);
  return n;
}

/* Fills an address from a numeric host; 0 or -EINVAL. */
static int numeric(const char *host, uint16_t port, struct sockaddr_storage *out, socklen_t *size) {
  char bare[INET6_ADDRSTRLEN];
  size_t length = strlen(host);
  memset(out, 0, sizeof *out);
  if (length > 2 && length - 2 < sizeof bare && host[0] == '[' && host[length - 1] == ']') {
    memcpy(bare, host + 1, length - 2);
    bare[length - 2] = 0;
    host = bare;
  }
  struct sockaddr_in *in = (struct sockaddr_in *)out;
  if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    *size = sizeof *in;
    return 0;
  }
  struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
  if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    *size = sizeof *in6;
    return 0;
  }
  return -EINVAL;
}

int roost_listen_tcp(const char *host, uint16_t port, int backlog) {
  struct sockaddr_storage address;
  socklen_t size;
  int failure = numeric(host, port, &address, &size);
  if (failure) return failure;
  int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, backlog) < 0) {
    failure = -errno;
    close(fd);
    return failure;
  }
  return fd;
}

int roost_bound_port(int fd) {
  struct sockaddr_storage address;
  socklen_t size = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &size) < 0) return -errno;
  if (address.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&address)->sin_port);
  if (address.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
  return -EINVAL;
}

size_t roost_bound_name(int fd, char *out, size_t size) {
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  int listens = 0;
  socklen_t listens_size = sizeof listens;
  memset(&address, 0, sizeof address);
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_size) < 0 || !listens) return 0;
  if (getsockname(fd, (struct sockaddr *)&address, &length) < 0) return 0;
  if (address.ss_family == AF_UNIX) {
    int n = snprintf(out, size, "unix:%s", ((struct sockaddr_un *)&address)->sun_path);
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
  }
  char text[INET6_ADDRSTRLEN] = "";
  int n = 0;
  if (address.ss_family == AF_INET) {
    const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
    inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
    n = snprintf(out, size, "%s:%u", text, ntohs(in->sin_port));
  } else if (address.ss_family == AF_INET6) {
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
    inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
    n = snprintf(out, size, "%s:%u", text, ntohs(in6->sin6_port));
  }
  return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

int roost_take_over(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -errno;
  return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

int roost_socket_pair(int *ends) {
  return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ? -errno : 0;
}

int roost_notify(const char *socket_name, const char *text) {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  size_t length = strlen(socket_name);
  if (length == 0 || length >= sizeof address.sun_path) return -EINVAL;
  memcpy(address.sun_path, socket_name, length);
  if (socket_name[0] == '@') address.sun_path[0] = 0;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  int failure = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, size) < 0 ? -errno : 0;
  close(fd);
  return failure;
}

/* A socket address for a path of any length. A long one is reached through its open folder, which *folder keeps open. */
static int unix_address(const char *path, struct sockaddr_un *out, int *folder) {
  *folder = -1;
  memset(out, 0, sizeof *out);
  out->sun_family = AF_UNIX;
  size_t n = strlen(path);
  if (n < sizeof out->sun_path) {
    memcpy(out->sun_path, path, n);
    return 0;
  }
  const char *slash = strrchr(path, '/');
  if (!slash || slash == path) return -ENAMETOOLONG;
  char *parent = strndup(path, (size_t)(slash - path));
  if (!parent) return -ENOMEM;
  *folder = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
  free(parent);
  if (*folder < 0) return -errno;
  int written = snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d/%s", *folder, slash + 1);
  if (written < 0 || (size_t)written >= sizeof out->sun_path) {
    close(*folder);
    *folder = -1;
    return -ENAMETOOLONG;
  }
  return 0;
}

int roost_connect_unix(const char *path) {
  struct sockaddr_un address;
  int folder;
  int failure = unix_address(path, &address, &folder);
  if (failure) return failure;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) failure = -errno;
  else if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
    failure = -errno;
    close(fd);
  }
  if (folder >= 0) close(folder);
  return failure ? failure : fd;
}

int roost_listen_unix(const char *path, int backlog) { return roost_listen_unix_mode(path, backlog, -1); }

int roost_listen_unix_mode(const char *path, int backlog, int mode) {
  struct sockaddr_un address;
  int folder;
  int failure = unix_address(path, &address, &folder);
  if (failure) return failure;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) failure = -errno;
  else {
    int bound = bind(fd, (struct sockaddr *)&address, sizeof address);
    if (bound < 0 && errno == EADDRINUSE) {
      int probe = roost_connect_unix(path);
      struct stat st;
      if (probe >= 0) {
        close(probe);
        errno = EADDRINUSE;
      } else if (probe == -ECONNREFUSED && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && unlink(path) == 0) {
        bound = bind(fd, (struct sockaddr *)&address, sizeof address);
      } else {
        errno = EADDRINUSE;
      }
    }
    if (bound < 0 || (mode >= 0 && chmod(path, (mode_t)mode) < 0) || listen(fd, backlog) < 0) {
      failure = -errno;
      if (bound == 0) unlink(path);
      close(fd);
    }
  }
  if (folder >= 0) close(folder);
  return failure ? failure : fd;
}

uint64_t roost_socket_file(const char *path) {
  struct stat st;
  if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode)) return 0;
  return ((uint64_t)st.st_dev << 48) ^ (uint64_t)st.st_ino;
}

int roost_peer_bits(const struct sockaddr_storage *peer, uint64_t *high, uint64_t *low) {
  if (peer->ss_family == AF_INET) {
    *high = 0;
    *low = 0xffff00000000ULL | ntohl(((const struct sockaddr_in *)peer)->sin_addr.s_addr);
    return 1;
  }
  if (peer->ss_family != AF_INET6) return 0;
  const uint8_t *bytes = ((const struct sockaddr_in6 *)peer)->sin6_addr.s6_addr;
  *high = *low = 0;
  for (int i = 0; i < 8; i++) {
    *high = *high << 8 | bytes[i];
    *low = *low << 8 | bytes[i + 8];
  }
  return 1;
}

void roost_set_peer(struct sockaddr_storage *peer, int known, uint64_t high, uint64_t low, uint16_t port) {
  memset(peer, 0, sizeof *peer);
  if (!known) {
    peer->ss_family = AF_UNIX;
  } else if (high == 0 && low >> 32 == 0xffff) {
    struct sockaddr_in *in = (struct sockaddr_in *)peer;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    in->sin_addr.s_addr = htonl((uint32_t)low);
  } else {
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)peer;
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(port);
    for (int i = 7; i >= 0; i--) {
      in->sin6_addr.s6_addr[i] = (uint8_t)high;
      in->sin6_addr.s6_addr[i + 8] = (uint8_t)low;
      high >>= 8;
      low >>= 8;
    }
  }
}

size_t roost_address_text(uint64_t high, uint64_t low, uint8_t *out, size_t size) {
  struct sockaddr_storage address;
  if (high == 0 && low >> 32 == 0xffff) {
    /* Not cleared: this is done for every line of the access log. */
    address.ss_family = AF_INET;
    ((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl((uint32_t)low);
  } else {
    roost_set_peer(&address, 1, high, low, 0);
  }
  return roost_peer_address(&address, out, size);
}

int roost_remove(const char *path) { return unlink(path) < 0 ? -errno : 0; }

int roost_duplicate(int fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  return copy < 0 ? -errno : copy;
}

static int start_connect(const struct sockaddr *address, socklen_t size) {
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(fd, address, size) < 0 && errno != EINPROGRESS) {
    int failure = -errno;
    close(fd);
    return failure;
  }
  return fd;
}

int roost_connect_tcp(const char *host, uint16_t port) {
  struct sockaddr_storage address;
  socklen_t size;
  int failure = numeric(host, port, &address, &size);
  if (failure) return failure;
  return start_connect((struct sockaddr *)&address, size);
}

int roost_keep_alive(int fd, int idle, int interval, int count) {
  int one = 1;
  unsigned patience = (unsigned)(idle + interval * count) * 1000;
  if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) < 0) return -errno;
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
  return setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof patience);
}

int roost_is_numeric(const char *host) {
  struct sockaddr_storage address;
  socklen_t size;
  return numeric(host, 1, &address, &size) == 0;
}

int roost_is_quiet(int fd) {
  char byte;
  return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && roost_would_block(errno);
}

int roost_socket_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) return errno;
  return error;
}

int roost_peer_pid(int fd) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return 0;
  return (int)peer.pid;
}

int roost_resolve(const char *host, char *out, size_t size) {
  struct addrinfo hints, *list = NULL;
  size_t used = 0;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  int failure = getaddrinfo(host, NULL, &hints, &list);
  if (failure) return failure;
  for (struct addrinfo *item = list; item; item = item->ai_next) {
    char name[INET6_ADDRSTRLEN + 16];
    if (getnameinfo(item->ai_addr, item->ai_addrlen, name, sizeof name, NULL, 0, NI_NUMERICHOST)) continue;
    size_t length = strlen(name);
    if (used + length + 2 > size) break;
    if (used) out[used++] = '\n';
    memcpy(out + used, name, length);
    used += length;
  }
  out[used] = 0;
  freeaddrinfo(list);
  return used ? 0 : EAI_NONAME;
}

int roost_dial(const char *host, uint16_t port, int timeout_ms) {
  struct addrinfo hints, *list = NULL;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  char service[8];
  snprintf(service, sizeof service, "%u", port);
  int unresolved = getaddrinfo(host, service, &hints, &list);
  if (unresolved) return -10000 - abs(unresolved);
  int failure = -EADDRNOTAVAIL;
  for (struct addrinfo *at = list; at; at = at->ai_next) {
    int fd = start_connect(at->ai_addr, at->ai_addrlen);
    if (fd < 0) {
      failure = fd;
      continue;
    }
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int ready;
    do ready = poll(&p, 1, timeout_ms);
    while (ready < 0 && errno == EINTR);
    int error = ready == 0 ? ETIMEDOUT : ready < 0 ? errno : roost_socket_error(fd);
    if (!error) {
      freeaddrinfo(list);
      fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
      return fd;
    }
    failure = -error;
    close(fd);
  }
  freeaddrinfo(list);
  return failure;
}

int roost_set_timeout(int fd, int64_t timeout_ms) {
  struct timeval t = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000};
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) < 0) return -errno;
  if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t) < 0) return -errno;
  return 0;
}

int roost_next_descriptor(int fd) {
  int next = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (next < 0) return -errno;
  close(next);
  return next;
}

uint64_t roost_raise_open_files(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 0;
  roost_spawn_open_files(&limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

void roost_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

int roost_open_schedule(void) {
  int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int roost_read_schedule(int fd, int64_t *ran, int64_t *waited) {
  char text[96];
  ssize_t n = pread(fd, text, sizeof text - 1, 0);
  if (n < 0) return -errno;
  text[n] = 0;
  long long run, delay;
  if (sscanf(text, "%lld %lld", &run, &delay) != 2) return -EIO;
  *ran = run;
  *waited = delay;
  return 0;
}

int roost_cores(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return 1;
}
