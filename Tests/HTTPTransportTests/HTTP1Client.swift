import CLinux
import Glibc

/// Raw bytes over a socket to a server of HTTP/1.1, at any pace.
final class HTTP1Client: Sendable {
  struct Failure: Error {}
  private let descriptor: Int32

  init(port: UInt16) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard connected == 0 else { throw Failure() }
    var patience = timeval(tv_sec: 60, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { close(descriptor) }

  /// False when the server has closed.
  @discardableResult
  func send(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    var at = 0
    while at < bytes.count {
      let sent = bytes.withUnsafeBytes { part in
        part.baseAddress.map {
          Glibc.send(descriptor, $0 + at, part.count - at, Int32(MSG_NOSIGNAL))
        } ?? -1
      }
      guard sent > 0 else { return false }
      at += sent
    }
    return true
  }

  /// Sends `total` bytes while the server takes them; how many it took before it took none for 300 ms.
  func pour(_ total: Int) -> Int {
    let block = [UInt8](repeating: 0x79, count: 65536)
    var sent = 0
    var state = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    while sent < total, poll(&state, 1, 300) == 1 {
      let count = Glibc.send(
        descriptor, block, min(block.count, total - sent), Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
      guard count > 0 else { break }
      sent += count
    }
    return sent
  }

  /// Says that no more comes; the server may go on.
  func endWrites() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// Goes without a word: what the server sends is refused.
  func leave() {
    var hard = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &hard, socklen_t(MemoryLayout<linger>.size))
    shutdown(descriptor, Int32(SHUT_RDWR))
  }

  /// What the server says until it closes; nil when it did not within a minute.
  func readToEnd() -> String? {
    var all: [UInt8] = []
    while true {
      guard let part = readSome() else { return errno == ECONNRESET ? text(all) : nil }
      if part.isEmpty { return text(all) }
      all += part
    }
  }

  /// What the server says until `end` comes, with nothing behind it.
  func read(until end: String) -> String? { readBytes(until: end).map { text($0) } }

  func readBytes(until end: String) -> [UInt8]? {
    var all: [UInt8] = []
    while !all.suffix(end.utf8.count).elementsEqual(end.utf8) {
      guard let part = readSome(), !part.isEmpty else { return nil }
      all += part
    }
    return all
  }

  /// Waits for a first part of an answer.
  func readsSome() -> Bool { readSome()?.isEmpty == false }

  private func readSome() -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 65536)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    return count < 0 ? nil : Array(buffer[0..<count])
  }

  private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
