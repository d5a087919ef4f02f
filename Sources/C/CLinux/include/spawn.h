#pragma once
#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/resource.h>

/* A limit of the new process (`setrlimit`). */
struct roost_rlimit {
  int resource;
  uint64_t soft;
  uint64_t hard;
};

/* What a new process gets. Arrays end with NULL (strings) or have a count. */
struct roost_spawn_options {
  const char *path;
  char *const *argv;
  char *const *envp;
  /* NULL: stays where the parent is. */
  const char *directory;
  /* File descriptors of the parent that become 0, 1, 2, 3... of the child; all others are closed. */
  const int *fds;
  size_t fd_count;
  /* Paths of the files (`tasks`, `cgroup.procs`) by which the child enters cgroups before it executes anything. */
  const char *const *cgroup_procs;
  size_t cgroup_count;
  const struct roost_rlimit *limits;
  size_t limit_count;
  int no_new_privileges;
};

/* Where a spawn failed. */
enum roost_spawn_stage {
  ROOST_SPAWN_FORK = 1,
  ROOST_SPAWN_SESSION,
  ROOST_SPAWN_CGROUP,
  ROOST_SPAWN_LIMIT,
  ROOST_SPAWN_FILES,
  ROOST_SPAWN_DIRECTORY,
  ROOST_SPAWN_PRIVILEGES,
  ROOST_SPAWN_EXEC,
};

/* Starts a process in a session of its own. Returns its pid, or -1 with the stage and errno of the failure. */
pid_t roost_spawn(const struct roost_spawn_options *options, int *failed_stage, int *failed_errno);

/* The limit of open files of new processes, unless their options have one; otherwise they inherit that of this process. To be
   called before the first of them is started. */
void roost_spawn_open_files(const struct rlimit *limit);

int roost_pidfd_open(pid_t pid);
int roost_pidfd_send_signal(int pidfd, int signal);
/* Exit of a child by its pidfd: 1 and the status filled, 0 when it runs on, -1 when it isn't our child. */
int roost_pidfd_reap(int pidfd, int *exit_code, int *signal);
/* A pipe whose ends are not inherited. */
int roost_pipe(int *ends);
int roost_memfd(const char *name);

/* Connects a stream socket to DIRECTORY/NAME however long the path is. Returns the descriptor or -1 with errno. */
int roost_unix_connect(const char *directory, const char *name);
/* Sends bytes and with them up to ROOST_MAX_SENT_FILES descriptors, without waiting: what `sendmsg` returns. */
#define ROOST_MAX_SENT_FILES 8
ssize_t roost_send_files(int socket, const void *bytes, size_t size, const int *files, size_t count);
/* Pid of the process that called `listen`, as seen from here; -1 when unknown. */
pid_t roost_listener_pid(int fd);

/* Names and numbers of the system calls that sandboxed code never needs; returns how many there are. */
struct roost_syscall {
  const char *name;
  uint32_t number;
};
size_t roost_denied_syscalls(const struct roost_syscall **list);
uint32_t roost_audit_architecture(void);
uint32_t roost_clone_number(void);
uint32_t roost_clone3_number(void);
uint64_t roost_filesystem_free_bytes(const char *path);
uint64_t roost_open_files_limit(uint64_t *hard);
