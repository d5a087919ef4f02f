import Glibc
import Synchronization

/// A small HTTP server on loopback that gives prepared answers by `METHOD path` and keeps what it was asked.
final class AnsweringServer: Sendable {
  struct Answer: Sendable {
    var status = 200
    var body: String
  }

  let port: UInt16
  private let descriptor: Int32
  private let answers: Mutex<[String: [Answer]]>
  private let asked = Mutex<[String]>([])

  /// Several answers to one request are given one after another; the last one stays.
  init(_ answers: [String: [Answer]]) throws {
    self.answers = Mutex(answers)
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let descriptor = descriptor
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
        bind(descriptor, raw, length) == 0 && listen(descriptor, 16) == 0
          && getsockname(descriptor, raw, &length) == 0
      }
    }
    guard bound else { throw NoSocket() }
    port = UInt16(bigEndian: address.sin_port)
  }

  struct NoSocket: Error {}

  var url: String { "http://127.0.0.1:\(port)" }
  /// Requests in their order: head and body.
  var requests: [String] { asked.withLock { $0 } }

  /// Serves until `stop`; blocks its thread.
  func run() {
    while true {
      let peer = accept(descriptor, nil, nil)
      if peer < 0 {
        // Closed here and not in `stop`: the number must not be given to another server while this thread uses it.
        close(descriptor)
        return
      }
      serve(peer)
      close(peer)
    }
  }

  func stop() { shutdown(descriptor, Int32(SHUT_RDWR)) }

  private func serve(_ peer: Int32) {
    var text = ""
    var buffer = [UInt8](repeating: 0, count: 65536)
    while !Self.isWhole(text) {
      let count = read(peer, &buffer, buffer.count)
      guard count > 0 else { return }
      text += String(decoding: buffer[0..<count], as: UTF8.self)
    }
    let words = text.prefix { $0 != "\r\n" }.split(separator: " ")
    let key = "\(words[0]) \(words[1])"
    let answer = answers.withLock { table -> Answer in
      guard var list = table[key], let first = list.first else {
        return Answer(
          status: 404, body: #"{"detail":"no answer to \#(key)","code":"NOT_FOUND","requestId":"r-1"}"#)
      }
      if list.count > 1 { list.removeFirst() }
      table[key] = list
      return first
    }
    asked.withLock { $0.append(text) }
    let bytes = Array(
      "HTTP/1.1 \(answer.status) X\r\nx-request-id: r-1\r\ncontent-length: \(answer.body.utf8.count)\r\n\r\n\(answer.body)"
        .utf8)
    _ = write(peer, bytes, bytes.count)
  }

  private static func isWhole(_ text: String) -> Bool {
    guard let end = text.firstRange(of: "\r\n\r\n") else { return false }
    let lines = text[..<end.lowerBound].split(separator: "\r\n")
    let length = lines.first { $0.lowercased().hasPrefix("content-length:") }
    let count = length.flatMap { Int($0.drop { $0 != ":" }.dropFirst().filter { $0 != " " }) } ?? 0
    return text[end.upperBound...].utf8.count >= count
  }
}
