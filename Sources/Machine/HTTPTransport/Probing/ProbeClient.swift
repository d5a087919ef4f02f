internal import CLinux
internal import Reactor
internal import Synchronization
public import TLS

/// One short question to a server.
public struct ProbeQuestion: Sendable, Equatable {
  public enum Kind: Sendable, Equatable {
    /// Only connect.
    case connect
    /// GET of a path; the answer's head is waited for, not its body.
    case get(path: String)
    /// `grpc.health.v1.Health/Check` of a service (empty: of the server), always over HTTP/2.
    case health(service: String)
  }

  /// `unix:/path`, or `host:port` with an IP literal.
  public var address: String
  public var kind: Kind
  /// Value of the `host` header.
  public var authority: String
  /// Speak HTTP/2 without TLS (prior knowledge) instead of HTTP/1.1.
  public var overHTTP2: Bool
  /// Encrypt, and believe only a certificate for this name or numeric address; nil: without TLS.
  public var serverName: String?
  /// From the beginning of connecting to the answer.
  public var timeout: Duration

  public init(
    address: String, kind: Kind, authority: String, overHTTP2: Bool = false, serverName: String? = nil,
    timeout: Duration
  ) {
    self.address = address
    self.kind = kind
    self.authority = authority
    self.overHTTP2 = overHTTP2
    self.serverName = serverName
    self.timeout = timeout
  }
}

/// What became of a question.
public enum ProbeAnswer: Sendable, Equatable {
  /// A connection was made, and more was not asked.
  case connected
  /// Status of an HTTP answer.
  case status(Int)
  /// A gRPC answer: `grpc-status` with its message, and the enum that the health service answered.
  case health(status: Int, message: String, serving: Int?)
  /// No connection could be made; errno.
  case unreachable(Int32)
  /// No connection within the time.
  case noConnection
  /// A connection, but no answer within the time.
  case noAnswer
  /// The server closed the connection before it answered.
  case closed
  /// No encrypted connection, or not with whom it should be.
  case untrusted(String)
  /// Not the protocol that was spoken to it.
  case malformed(String)
  /// The asking task was cancelled, or the client closed.
  case cancelled

  /// What the system says of an error number, in lower case: `connection refused`.
  public static func words(_ code: Int32) -> String { String(cString: roost_error_text(code)).lowercased() }
}

/// Asks servers whether they live, any number at once, on one thread and without blocking any other.
///
/// A new connection for each question: that the server still takes connections is part of what is asked.
public final class ProbeClient: Sendable {
  private let mailbox = Mailbox<ProbeLoop.Command>()
  private let thread: LoopThread?
  private let serial = Atomic<UInt64>(1)

  /// `tls`: the authorities of servers that are asked with TLS.
  public init(tls: TLSContext? = nil) {
    let mailbox = mailbox
    thread = LoopThread(name: "roost-probes") { ProbeLoop(mailbox, tls).run() }
  }

  /// Returns when there is an answer, at the latest after the question's timeout; at once when the task is cancelled.
  public func ask(_ question: ProbeQuestion) async -> ProbeAnswer {
    guard thread != nil else { return .cancelled }
    let id = serial.wrappingAdd(1, ordering: .relaxed).oldValue
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        if Task.isCancelled { return continuation.resume(returning: .cancelled) }
        mailbox.post(.ask(id, question, continuation))
      }
    } onCancel: {
      mailbox.post(.cancel(id))
    }
  }

  /// Answers what is under way with `cancelled` and ends the thread. Nothing may be asked afterwards.
  public func close() {
    mailbox.post(.stop)
    thread?.join()
  }

  /// Numeric addresses of a host name, in the order to try them; none when it can't be resolved. On a thread of its own,
  /// since the system's resolver blocks.
  public static func resolve(_ host: String) async -> [String] {
    await withCheckedContinuation { continuation in
      let thread = LoopThread(name: "roost-resolver") {
        var buffer = [CChar](repeating: 0, count: 4096)
        let failure = buffer.withUnsafeMutableBufferPointer {
          roost_resolve(host, $0.baseAddress, $0.count)
        }
        let end = buffer.firstIndex(of: 0) ?? 0
        let text = String(decoding: buffer[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        continuation.resume(returning: failure == 0 ? text.split(separator: "\n").map(String.init) : [])
      }
      guard let thread else { return continuation.resume(returning: []) }
      thread.detach()
    }
  }
}
