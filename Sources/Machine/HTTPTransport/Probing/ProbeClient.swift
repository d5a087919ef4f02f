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
  /// The probe itself did not end, well after its time. Never seen; said so that nobody waits for ever.
  case overdue
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
  /// How long after its timeout a question is given up from outside of the loop.
  static let slack = Duration.seconds(2)

  private let mailbox = Mailbox<ProbeLoop.Command>()
  private let thread: LoopThread?
  private let serial = Atomic<UInt64>(1)
  private let isClosed = Atomic<Bool>(false)

  /// `tls`: the authorities of servers that are asked with TLS.
  public init(tls: TLSContext? = nil) {
    let mailbox = mailbox
    thread = LoopThread(name: "roost-probes") { ProbeLoop(mailbox, tls).run() }
  }

  /// Returns when there is an answer, soon after the question's timeout at the latest, whatever the server or the loop does;
  /// at once when the task is cancelled.
  public func ask(_ question: ProbeQuestion) async -> ProbeAnswer {
    guard thread != nil else { return .cancelled }
    let id = serial.wrappingAdd(1, ordering: .relaxed).oldValue
    let reply = FirstReply<ProbeAnswer>()
    mailbox.post(.ask(id, question, reply))
    // Posted too late for `close` to find it.
    if isClosed.load(ordering: .sequentiallyConsistent) { reply.give(.cancelled) }
    let answer = await reply.value(within: question.timeout + Self.slack)
    if let answer { return answer }
    mailbox.post(.cancel(id))
    return Task.isCancelled ? .cancelled : .overdue
  }

  /// Answers what is under way, and whatever is asked afterwards, with `cancelled` and ends the thread.
  public func close() {
    isClosed.store(true, ordering: .sequentiallyConsistent)
    mailbox.post(.stop)
    thread?.join()
    for case .ask(_, _, let reply) in mailbox.take() { reply.give(.cancelled) }
  }

  /// Numeric addresses of a host name, in the order to try them; none when it can't be resolved, nil when that takes longer than
  /// `timeout` or the task is cancelled. On a thread of its own, since the system's resolver blocks.
  public static func resolve(_ host: String, timeout: Duration) async -> [String]? {
    let reply = FirstReply<[String]>()
    let thread = LoopThread(name: "roost-resolver") {
      var buffer = [CChar](repeating: 0, count: 4096)
      let failure = buffer.withUnsafeMutableBufferPointer {
        roost_resolve(host, $0.baseAddress, $0.count)
      }
      let end = buffer.firstIndex(of: 0) ?? 0
      let text = String(decoding: buffer[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self)
      reply.give(failure == 0 ? text.split(separator: "\n").map(String.init) : [])
    }
    guard let thread else { return [] }
    thread.detach()
    return await reply.value(within: timeout)
  }
}
