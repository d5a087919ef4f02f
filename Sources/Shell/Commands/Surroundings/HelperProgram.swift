internal import Glibc

/// A small program that is asked something: it reads its standard input and prints its answer.
struct HelperProgram {
  /// Looked for on `PATH`.
  let name: String

  /// The bytes that it prints. Ends it when it takes longer; a failure has its last words.
  func run(_ arguments: [String], input: String, timeout: Duration) throws(CommandFailure) -> [UInt8] {
    var toChild: [Int32] = [0, 0]
    var fromChild: [Int32] = [0, 0]
    guard pipe(&toChild) == 0, pipe(&fromChild) == 0 else {
      throw CommandFailure(.failed, "can't run \(name): \(String(cString: strerror(errno)))")
    }
    defer { close(fromChild[0]) }
    for end in toChild + fromChild { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
    posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    var words: [UnsafeMutablePointer<CChar>?] = ([name] + arguments).map { strdup($0) }
    words.append(nil)
    defer { for word in words { free(word) } }
    // Helpers look at variables that nobody here knows.
    var variables: [UnsafeMutablePointer<CChar>?] = try LocalFile.read("/proc/self/environ")
      .split(separator: 0).map { strdup(String(decoding: $0, as: UTF8.self)) }
    variables.append(nil)
    defer { for variable in variables { free(variable) } }
    var pid: pid_t = 0
    let code = posix_spawnp(&pid, name, &actions, nil, words, variables)
    close(toChild[0])
    close(fromChild[1])
    guard code == 0 else {
      close(toChild[1])
      throw CommandFailure(.failed, "can't run \(name): \(String(cString: strerror(code)))")
    }
    signal(SIGPIPE, SIG_IGN)
    let bytes = Array(input.utf8)
    _ = write(toChild[1], bytes, bytes.count)
    close(toChild[1])
    let answer = collect(fromChild[0], pid, until: ContinuousClock.now + timeout)
    var status: Int32 = 0
    waitpid(pid, &status, 0)
    guard let answer else {
      throw CommandFailure(
        .failed, "\(name) did not answer within \(timeout.components.seconds) s and was ended")
    }
    guard status == 0 else {
      let said = String(decoding: answer.prefix(300), as: UTF8.self).split(separator: "\n").first ?? "nothing"
      throw CommandFailure(.failed, "\(name) failed: \(said)")
    }
    return answer
  }

  /// Everything until the program closes its output; nil when that took too long.
  private func collect(_ descriptor: Int32, _ pid: pid_t, until deadline: ContinuousClock.Instant) -> [UInt8]?
  {
    var result: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let left = (deadline - ContinuousClock.now) / .milliseconds(1)
      var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      let ready = left <= 0 ? 0 : poll(&wanted, 1, Int32(left.rounded(.up)))
      if ready < 0, errno == EINTR { continue }
      guard ready > 0 else {
        kill(pid, SIGKILL)
        return nil
      }
      let count = read(descriptor, &chunk, chunk.count)
      guard count > 0 else { return result }
      result += chunk[..<count]
    }
  }
}
