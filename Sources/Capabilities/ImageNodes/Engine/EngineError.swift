import FoundationEssentials
import HTTPTransport

/// Why a call to the engine did not do what was asked.
public struct EngineError: Error, Sendable, CustomStringConvertible {
  public enum Kind: Sendable, Equatable {
    /// Nobody listens on the socket.
    case unreachable
    /// It listens and does not answer.
    case silent
    /// It ended the connection in the middle of an answer.
    case broken
    case tooOld
    case malformed
    case cancelled
    /// It was not asked: what it would need is in use on this machine.
    case occupied
    /// It refused with this HTTP status.
    case refused(Int)
  }

  public var kind: Kind
  /// What the engine said, or what was seen of it.
  public var message: String
  public var description: String { message }

  init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  /// Nothing can be said of containers: the engine itself is the trouble.
  public var isOfEngine: Bool {
    switch kind {
    case .unreachable, .silent, .broken, .tooOld, .malformed: true
    case .cancelled, .occupied, .refused: false
    }
  }

  init(_ error: HTTPClientError, socket: String, timeout: Duration) {
    switch error.kind {
    case .unreachable:
      self.init(.unreachable, "the container engine at \(socket) can't be reached: \(error.message)")
    case .timeout:
      self.init(
        .silent, "the container engine at \(socket) did not answer within \(timeout.components.seconds) s")
    case .broken, .stopped:
      self.init(.broken, "the container engine at \(socket) ended a call in the middle: \(error.message)")
    case .malformed:
      self.init(.malformed, "what listens at \(socket) is no container engine: \(error.message)")
    }
  }

  init(_ answer: EngineAnswer, doing: String, socket: String) {
    struct Refusal: Decodable { var message: String }
    let said =
      (try? JSONDecoder().decode(Refusal.self, from: Data(answer.body)))?.message
      ?? String(decoding: answer.body.prefix(500), as: UTF8.self)
    self.init(.refused(answer.status), said.isEmpty ? "\(doing): HTTP \(answer.status)" : said)
  }
}
