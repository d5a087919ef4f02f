import CLinux
import Glibc

/// A unix socket that other programs of the same user speak to.
public final class UnixListener: Sendable {
  private let file: FileHandle
  private let path: String
  private let identity: UInt64
  private let closing = Wakeup()

  /// Listens at an absolute path of any length; a file that nobody listens on is replaced. Only the user may connect.
  public init(path: String) throws(SystemFailure) {
    let number = roost_listen_unix_mode(path, 16, 0o600)
    guard number >= 0 else { throw SystemFailure("listen on unix:\(path)", code: -number) }
    file = FileHandle(owning: number)
    self.path = path
    identity = roost_socket_file(path)
  }

  /// The next connection, as soon as there is one; nil after `close`. Blocks.
  public func accept() -> UnixConnection? {
    while waitForAny([closing.descriptor, file.number], timeout: .seconds(3600)) != 0 {
      var peer = sockaddr_storage()
      let number = roost_accept(file.number, &peer)
      if number >= 0 { return UnixConnection(owning: number) }
    }
    return nil
  }

  /// Ends `accept`, and removes the socket's file unless somebody else has put theirs in its place.
  public func close() {
    if identity != 0, roost_socket_file(path) == identity { unlink(path) }
    closing.ring()
  }
}

extension Files {
  /// Gives a socket that another program made a second name; false while it is not there. Of what is no socket, such as a link
  /// to one elsewhere, there is none: an error. A name that is there is left.
  public static func linkSocket(_ source: String, to target: String) throws(SystemFailure) -> Bool {
    if roost_socket_file(target) != 0 { return true }
    guard link(source, target) == 0 else {
      if errno == ENOENT { return false }
      throw SystemFailure("link \(source) to \(target)")
    }
    // Looked at where the other program can't change it any more; `link` does not follow links.
    guard roost_socket_file(target) != 0 else {
      unlink(target)
      throw SystemFailure("link \(source) to \(target)", code: ENOTSOCK)
    }
    return true
  }
}

/// What passes from a process to one that it starts.
public enum Inheritance {
  /// Two ends of a connection that is not inherited by chance.
  public static func connectedPair() throws(SystemFailure) -> (UnixConnection, UnixConnection) {
    var ends: [Int32] = [-1, -1]
    let code = roost_socket_pair(&ends)
    guard code == 0 else { throw SystemFailure("make a pair of sockets", code: -code) }
    return (UnixConnection(owning: ends[0]), UnixConnection(owning: ends[1]))
  }

  /// The whole environment of this process.
  public static var environment: [String: String] {
    var values: [String: String] = [:]
    for line in (Files.read("/proc/self/environ") ?? []).split(separator: 0) {
      let text = String(decoding: line, as: UTF8.self)
      guard let equals = text.firstIndex(of: "=") else { continue }
      values[String(text[..<equals])] = String(text[text.index(after: equals)...])
    }
    return values
  }

  /// Removes variables, so that programs which this one starts don't take them for theirs.
  public static func forget(_ names: [String]) { for name in names { unsetenv(name) } }
}

/// The service manager that started this process, by the protocol of `sd_notify(3)`. Without one nothing is said.
public enum ServiceManager {
  /// Says lines such as `READY=1`. False when there is nobody to listen, or nobody listens.
  @discardableResult
  public static func say(_ lines: String...) -> Bool {
    guard let name = getenv("NOTIFY_SOCKET") else { return false }
    return roost_notify(String(cString: name), lines.joined(separator: "\n")) == 0
  }

  /// Microseconds of the clock that `RELOADING=1` must be said with.
  public static var monotonicMicroseconds: Int64 { roost_now_ns() / 1000 }
}
