internal import CLinux
internal import Reactor
internal import Synchronization

/// A request that is made again and again by a number of workers.
public struct LoadPlan: Sendable {
  public enum Form: String, Sendable, CaseIterable {
    case http1 = "HTTP/1.1"
    case http2 = "HTTP/2"
    /// A unary call over HTTP/2; the body is its message without the frame around it.
    case grpc = "gRPC"
    /// An answer over HTTP/1.1 that goes on for as long as it likes.
    case stream = "stream"
    /// Over HTTP/1.1, asked for by the head without the lines of RFC 6455. A text is sent, then a ping each second, which
    /// must be answered; it is to live until the server says goodbye (1001, 1012) or the load stops.
    case webSocket = "WebSocket"

    /// Goes on for as long as the server likes: how long it took says nothing.
    var isLasting: Bool { self == .stream || self == .webSocket }
  }

  public var form: Form
  /// Request line and header lines, each with CR LF; without what frames the body and without `x-request-id`.
  public var head: String
  public var body: [UInt8]
  public var workers: Int
  /// Of one worker, between an answer and its next request.
  public var pause: Duration

  public init(_ form: Form, head: String, body: [UInt8] = [], workers: Int, pause: Duration) {
    self.form = form
    self.head = head
    self.body = body
    self.workers = workers
    self.pause = pause
  }
}

/// What became of one request.
public struct LoadResult: Sendable {
  public var form: LoadPlan.Form
  public var requestID: String
  /// Monotonic nanoseconds.
  public var began: Int64
  public var ended: Int64
  /// Of HTTP; 0: no answer came.
  public var status: Int
  /// Nil when all was well: a status of 2xx, of gRPC 0, and a whole answer; of a WebSocket its goodbye.
  public var failure: String?
  /// It was sent once more, since the server had not looked at it: the connection had closed before, or said so.
  public var wasResent: Bool
}

/// Makes requests like clients that keep their connections, on one thread of its own.
public final class LoadGenerator: Sendable {
  let mailbox = Mailbox<LoadLoop.Command>()
  private let thread: LoopThread?
  private let sink: LoadSink

  /// Begins at once. `address`: a numeric address and a port. Request ids are `prefix` and a number. An answer that takes longer
  /// than `timeout` is a failure.
  public init(address: String, plans: [LoadPlan], prefix: String, timeout: Duration) {
    let mailbox = mailbox
    let sink = LoadSink()
    self.sink = sink
    thread = LoopThread(name: "roost-load") {
      LoadLoop(mailbox, address: address, plans: plans, prefix: prefix, timeout: timeout, sink: sink).run()
    }
  }

  /// Monotonic nanoseconds now, as in results.
  public static func now() -> Int64 { roost_now_ns() }

  /// What ended since the last call.
  public func take() -> [LoadResult] { sink.take() }

  /// Makes no new requests and returns when those under way have ended; streams are left, and WebSockets closed.
  public func stop() {
    mailbox.post(.stop)
    thread?.join()
  }
}

/// Results on their way from the loop's thread.
final class LoadSink: Sendable {
  private let results = Mutex<[LoadResult]>([])

  func add(_ result: LoadResult) { results.withLock { $0.append(result) } }

  func take() -> [LoadResult] {
    results.withLock { found in
      let taken = found
      found = []
      return taken
    }
  }
}
