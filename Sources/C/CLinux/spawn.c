#define _GNU_SOURCE
#include "spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

struct failure {
  int stage;
  int error;
};

static _Noreturn void fail(int report, int stage) {
  struct failure failure = {stage, errno};
  ssize_t ignored = write(report, &failure, sizeof failure);
  (void)ignored;
  _exit(127);
}

/* Runs between fork and exec: only async-signal-safe calls, no allocation. */
static struct rlimit open_files;
static int has_open_files;

void roost_spawn_open_files(const struct rlimit *limit) {
  if (has_open_files) return;
  open_files = *limit;
  has_open_files = 1;
}

static _Noreturn void child(const struct roost_spawn_options *options, int report, int *moved) {
  struct sigaction standard;
  memset(&standard, 0, sizeof standard);
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; number++) sigaction(number, &standard, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);

  if (setsid() < 0) fail(report, ROOST_SPAWN_SESSION);
  for (size_t index = 0; index < options->cgroup_count; index++) {
    int file = open(options->cgroup_procs[index], O_WRONLY | O_CLOEXEC);
    if (file < 0 || write(file, "0", 1) != 1) fail(report, ROOST_SPAWN_CGROUP);
    close(file);
  }
  /* First out of the way of all targets, then to their places: sources may overlap targets. */
  int above = (int)options->fd_count + 1;
  int report_moved = fcntl(report, F_DUPFD_CLOEXEC, above);
  if (report_moved < 0) fail(report, ROOST_SPAWN_FILES);
  report = report_moved;
  for (size_t index = 0; index < options->fd_count; index++) {
    moved[index] = fcntl(options->fds[index], F_DUPFD_CLOEXEC, above);
    if (moved[index] < 0) fail(report, ROOST_SPAWN_FILES);
  }
  for (size_t index = 0; index < options->fd_count; index++)
    if (dup2(moved[index], (int)index) < 0) fail(report, ROOST_SPAWN_FILES);
  /* The report pipe closes itself at exec; everything between and above is closed here. */
  if (report > (int)options->fd_count)
    syscall(SYS_close_range, (unsigned)options->fd_count, (unsigned)report - 1, 0u);
  syscall(SYS_close_range, (unsigned)report + 1, UINT_MAX, 0u);
  /* Only now: until the close above the child has all files of a busy service open, and a lower limit would refuse to
     move its own. */
  if (has_open_files && setrlimit(RLIMIT_NOFILE, &open_files) < 0) fail(report, ROOST_SPAWN_LIMIT);
  for (size_t index = 0; index < options->limit_count; index++) {
    struct rlimit limit = {options->limits[index].soft, options->limits[index].hard};
    if (setrlimit(options->limits[index].resource, &limit) < 0) fail(report, ROOST_SPAWN_LIMIT);
  }
  if (options->directory && chdir(options->directory) < 0) fail(report, ROOST_SPAWN_DIRECTORY);
  if (options->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    fail(report, ROOST_SPAWN_PRIVILEGES);
  execve(options->path, options->argv, options->envp);
  fail(report, ROOST_SPAWN_EXEC);
}

pid_t roost_spawn(const struct roost_spawn_options *options, int *failed_stage, int *failed_errno) {
  int report[2];
  int *moved = calloc(options->fd_count + 1, sizeof(int));
  *failed_stage = ROOST_SPAWN_FORK;
  if (!moved || pipe2(report, O_CLOEXEC) < 0) {
    *failed_errno = errno;
    free(moved);
    return -1;
  }
  /* No handler of this process may run in the child. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = fork();
  if (pid == 0) child(options, report[1], moved);
  int fork_errno = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(report[1]);
  free(moved);
  if (pid < 0) {
    close(report[0]);
    *failed_errno = fork_errno;
    return -1;
  }
  struct failure failure;
  ssize_t count;
  do count = read(report[0], &failure, sizeof failure);
  while (count < 0 && errno == EINTR);
  close(report[0]);
  if (count == (ssize_t)sizeof failure) {
    waitpid(pid, NULL, 0);
    *failed_stage = failure.stage;
    *failed_errno = failure.error;
    return -1;
  }
  return pid;
}

int roost_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int roost_pidfd_send_signal(int pidfd, int number) {
  return (int)syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
}

int roost_pidfd_reap(int pidfd, int *exit_code, int *number) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  int result;
  do result = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
  while (result < 0 && errno == EINTR);
  if (result < 0) return -1;
  if (info.si_pid == 0) return 0;
  *exit_code = info.si_code == CLD_EXITED ? info.si_status : -1;
  *number = info.si_code == CLD_EXITED ? 0 : info.si_status;
  return 1;
}

int roost_pipe(int *ends) { return pipe2(ends, O_CLOEXEC); }

int roost_memfd(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

int roost_unix_connect(const char *directory, const char *name) {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  int folder = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return -1;
  int length = snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", folder, name);
  int connection = -1;
  if (length < 0 || length >= (int)sizeof address.sun_path) {
    errno = ENAMETOOLONG;
  } else {
    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection >= 0 && connect(connection, (struct sockaddr *)&address, sizeof address) < 0) {
      int error = errno;
      close(connection);
      connection = -1;
      errno = error;
    }
  }
  int error = errno;
  close(folder);
  errno = error;
  return connection;
}

ssize_t roost_send_files(int socket, const void *bytes, size_t size, const int *files, size_t count) {
  if (count == 0 || count > ROOST_MAX_SENT_FILES) {
    errno = EINVAL;
    return -1;
  }
  union {
    char space[CMSG_SPACE(sizeof(int) * ROOST_MAX_SENT_FILES)];
    struct cmsghdr aligned;
  } control;
  memset(&control, 0, sizeof control);
  struct iovec part = {(void *)bytes, size};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.space;
  message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int) * count);
  memcpy(CMSG_DATA(header), files, sizeof(int) * count);
  return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

pid_t roost_listener_pid(int fd) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return -1;
  return peer.pid;
}

#define DENY(name) {#name, SYS_##name}
static const struct roost_syscall denied[] = {
  DENY(acct), DENY(add_key), DENY(adjtimex), DENY(bpf), DENY(chroot), DENY(clock_adjtime),
  DENY(clock_settime), DENY(delete_module), DENY(fanotify_init), DENY(finit_module), DENY(fsconfig),
  DENY(fsmount), DENY(fsopen), DENY(fspick), DENY(init_module), DENY(io_uring_enter),
  DENY(io_uring_register), DENY(io_uring_setup), DENY(kexec_load), DENY(keyctl), DENY(mount),
  DENY(move_mount), DENY(name_to_handle_at), DENY(open_by_handle_at), DENY(open_tree),
  DENY(perf_event_open), DENY(pivot_root), DENY(process_vm_readv), DENY(process_vm_writev), DENY(ptrace),
  DENY(quotactl), DENY(reboot), DENY(request_key), DENY(setdomainname), DENY(sethostname), DENY(setns),
  DENY(settimeofday), DENY(swapoff), DENY(swapon), DENY(syslog), DENY(umount2), DENY(unshare),
  DENY(userfaultfd), DENY(vhangup),
#ifdef SYS_mount_setattr
  DENY(mount_setattr),
#endif
#ifdef SYS_kexec_file_load
  DENY(kexec_file_load),
#endif
#ifdef SYS_iopl
  DENY(iopl), DENY(ioperm),
#endif
};

size_t roost_denied_syscalls(const struct roost_syscall **list) {
  *list = denied;
  return sizeof denied / sizeof denied[0];
}

uint32_t roost_audit_architecture(void) {
#if defined(__x86_64__)
  return AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
  return AUDIT_ARCH_AARCH64;
#else
#error "the syscall filter knows x86_64 and aarch64"
#endif
}

uint32_t roost_clone_number(void) { return SYS_clone; }
uint32_t roost_clone3_number(void) { return SYS_clone3; }

uint64_t roost_filesystem_free_bytes(const char *path) {
  struct statvfs status;
  if (statvfs(path, &status) < 0) return 0;
  return (uint64_t)status.f_bavail * status.f_frsize;
}

uint64_t roost_open_files_limit(uint64_t *hard) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 0;
  *hard = limit.rlim_max;
  return limit.rlim_cur;
}
