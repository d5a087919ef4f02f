/// Which requests of an alias the gateway copies, in plain numbers.
public struct RoutedCopying: Sendable, Codable, Equatable {
  /// Of ten thousand requests so many are copied for the mirror, and so many for the recording.
  public var mirrorPermyriad: Int
  public var recordPermyriad: Int
  /// Bytes of a body, of a request as of an answer, beyond which it is not copied.
  public var mostBodyBytes: Int

  public init(mirrorPermyriad: Int, recordPermyriad: Int, mostBodyBytes: Int) {
    self.mirrorPermyriad = mirrorPermyriad
    self.recordPermyriad = recordPermyriad
    self.mostBodyBytes = mostBodyBytes
  }
}

/// A request of an alias and the answer that its caller got, copied by the gateway when the answer was complete.
public struct CapturedExchange: Sendable {
  public var alias: AliasID
  /// Who answered.
  public var node: NodeID
  public var requestID: String
  public var request: NodeCall.Content
  public var status: Int
  public var contentType: String
  /// How `answer` is packed (`content-encoding`); empty: it is not.
  public var contentEncoding: String
  /// Of a cell: its outputs as JSON.
  public var answer: [UInt8]
  /// From the time at which the node had the request to the end of its answer.
  public var microseconds: Int
  public var at: Timestamp
  public var forMirror: Bool
  public var forRecording: Bool
  /// Room that the copy takes; given back with the last reference.
  public var room: (any AnyObject & Sendable)?

  public init(
    alias: AliasID, node: NodeID, requestID: String, request: NodeCall.Content, status: Int,
    contentType: String, contentEncoding: String = "", answer: [UInt8], microseconds: Int, at: Timestamp,
    forMirror: Bool, forRecording: Bool, room: (any AnyObject & Sendable)? = nil
  ) {
    self.alias = alias
    self.node = node
    self.requestID = requestID
    self.request = request
    self.status = status
    self.contentType = contentType
    self.contentEncoding = contentEncoding
    self.answer = answer
    self.microseconds = microseconds
    self.at = at
    self.forMirror = forMirror
    self.forRecording = forRecording
    self.room = room
  }
}

/// A request that the platform itself makes to a node.
public struct NodeCall: Sendable {
  public enum Content: Sendable, Equatable {
    /// Runs the cell: the inputs as a JSON object.
    case execute(input: [UInt8])
    /// Is passed to a server: request line and header lines, each with CR LF, without what frames the body.
    case proxy(head: [UInt8], body: [UInt8])

    public var byteCount: Int {
      switch self {
      case .execute(let input): input.count
      case .proxy(let head, let body): head.count + body.count
      }
    }
  }

  public var node: NodeID
  /// 1 to 64 characters that `x-request-id` may have.
  public var requestID: String
  public var content: Content
  /// May stand in the node's queue, and wake a node at rest; else it is made only when a place is free and nobody waits.
  public var mayWait: Bool
  /// The node's own timeout may be shorter.
  public var timeoutMilliseconds: Int
  public var mostAnswerBytes: Int

  public init(
    node: NodeID, requestID: String, content: Content, mayWait: Bool, timeoutMilliseconds: Int,
    mostAnswerBytes: Int
  ) {
    self.node = node
    self.requestID = requestID
    self.content = content
    self.mayWait = mayWait
    self.timeoutMilliseconds = timeoutMilliseconds
    self.mostAnswerBytes = mostAnswerBytes
  }
}

/// What came of a `NodeCall`.
public enum NodeCallResult: Sendable, Equatable {
  /// Any status. `microseconds` as of a `CapturedExchange`; `byNode` is false for what the gateway itself answered (a timeout, an instance
  /// that died).
  case answered(status: Int, contentType: String, body: [UInt8], microseconds: Int, byNode: Bool)
  /// No place was free.
  case busy
  /// It was not sent, or no whole answer came.
  case failed(String)
}

/// What became of copies.
public struct CopyCounts: Sendable, Equatable {
  /// Given on.
  public var taken: Int
  public var tooLarge: Int
  public var overMemory: Int
  public var notCopyable: Int
  public var unanswered: Int

  public init(
    taken: Int = 0, tooLarge: Int = 0, overMemory: Int = 0, notCopyable: Int = 0, unanswered: Int = 0
  ) {
    self.taken = taken
    self.tooLarge = tooLarge
    self.overMemory = overMemory
    self.notCopyable = notCopyable
    self.unanswered = unanswered
  }
}
