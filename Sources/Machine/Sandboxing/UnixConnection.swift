import CLinux
import Glibc

/// A blocking stream connection to a unix socket, with a deadline on every call. Used by one thread at a
/// time.
public final class UnixConnection: Sendable {
  public enum Failure: Error, Sendable {
    /// Nobody listens.
    case refused(SystemFailure)
    case closed
    case timedOut
    /// The process that was watched meanwhile has ended.
    case processEnded
  }

  private let file: FileHandle
  private static let sendFlags = Int32(MSG_NOSIGNAL | MSG_DONTWAIT)

  public init(path: String) throws(Failure) {
    let slash = path.lastIndex(of: "/") ?? path.startIndex
    let number = roost_unix_connect(String(path[..<slash]), String(path[path.index(after: slash)...]))
    guard number >= 0 else { throw .refused(SystemFailure("connect to \(path)")) }
    file = FileHandle(owning: number)
  }

  /// One that was accepted or inherited.
  public init(owning descriptor: Int32) { file = FileHandle(owning: descriptor) }

  public var descriptor: Int32 { file.number }

  /// The process that called `listen`, as this process sees it.
  public var peer: Int32? {
    let pid = roost_listener_pid(file.number)
    return pid > 0 ? pid : nil
  }

  /// - Parameter files: given to the peer with the first byte; it gets descriptors of its own.
  public func send(_ bytes: [UInt8], passing files: [FileHandle] = [], deadline: Deadline) throws(Failure) {
    var start = 0
    while start == 0, !files.isEmpty {
      let count = roost_send_files(file.number, bytes, bytes.count, files.map(\.number), files.count)
      if count > 0 {
        start = count
      } else if errno == EAGAIN {
        try waitFor(Int16(POLLOUT), deadline: deadline, watching: nil)
      } else if errno != EINTR {
        throw .closed
      }
    }
    while start < bytes.count {
      let count = bytes.withUnsafeBytes { buffer in
        buffer.baseAddress.map {
          Glibc.send(file.number, $0 + start, buffer.count - start, Self.sendFlags)
        } ?? 0
      }
      if count > 0 {
        start += count
      } else if errno == EAGAIN {
        try waitFor(Int16(POLLOUT), deadline: deadline, watching: nil)
      } else if errno != EINTR {
        throw .closed
      }
    }
  }

  /// At least one byte.
  public func receive(deadline: Deadline, watching process: ProcessHandle? = nil) throws(Failure) -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = recv(file.number, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      if count > 0 { return Array(buffer[..<count]) }
      if count == 0 { throw .closed }
      if errno == EAGAIN {
        try waitFor(Int16(POLLIN), deadline: deadline, watching: process)
      } else if errno != EINTR {
        throw .closed
      }
    }
  }

  private func waitFor(_ events: Int16, deadline: Deadline, watching process: ProcessHandle?) throws(Failure)
  {
    var entries = [pollfd(fd: file.number, events: events, revents: 0)]
    if let process { entries.append(pollfd(fd: process.descriptor, events: Int16(POLLIN), revents: 0)) }
    while true {
      let count = poll(&entries, nfds_t(entries.count), deadline.milliseconds)
      if count > 0 {
        // What it sent before its end is read first.
        if entries[0].revents != 0 { return }
        throw .processEnded
      }
      if count == 0 && deadline.hasPassed { throw .timedOut }
    }
  }
}

/// Wakes a thread that waits in `poll`, once and for good.
public final class Wakeup: Sendable {
  private let reading: FileHandle
  private let writing: FileHandle

  public init() {
    var ends: [Int32] = [-1, -1]
    // Without descriptors nothing else works either; `poll` ignores -1.
    _ = roost_pipe(&ends)
    reading = FileHandle(owning: ends[0])
    writing = FileHandle(owning: ends[1])
  }

  /// Readable after `ring`.
  public var descriptor: Int32 { reading.number }

  public func ring() { _ = write(writing.number, [0], 1) }
}

/// Waits until one of the descriptors is readable or closed; nil when the time is over. -1 never is.
public func waitForAny(_ descriptors: [Int32], timeout: Duration) -> Int? {
  var entries = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
  let deadline = Deadline(after: timeout)
  while true {
    let count = poll(&entries, nfds_t(entries.count), deadline.milliseconds)
    if count > 0 { return entries.firstIndex { $0.revents != 0 } }
    if deadline.hasPassed { return nil }
  }
}
