import Domain
import FoundationEssentials
import Wire

/// A request and its answer as they are kept: without credentials, and without what was to be redacted.
struct RecordedExchange: Sendable, Equatable {
  /// What stands before the bodies.
  private struct Head: Codable, Equatable {
    var id: String
    var at: Int64
    var status: Int
    var contentType: String
    var microseconds: Int
    /// Of a server's request: its head.
    var head: String?
    /// Bytes of the request's body; the answer follows.
    var bodyCount: Int
    var isRedacted: Bool
  }

  private var head: Head
  private var body: [UInt8]
  private(set) var answer: [UInt8]

  /// Nil for what can't be kept under the rules of the recording.
  init?(_ copy: CapturedExchange, _ redactor: Redactor) {
    var found = ComparedAnswer(copy)
    let isJSON = AnswerComparer.bare(found.contentType).hasSuffix("json")
    guard let answer = redactor.body(found.body, isJSON: isJSON) else { return nil }
    found.body = answer.bytes
    var head = Head(
      id: copy.requestID, at: copy.at.microseconds, status: copy.status, contentType: found.contentType,
      microseconds: copy.microseconds, head: nil, bodyCount: 0, isRedacted: false)
    switch copy.request {
    case .execute(let input):
      // Redacted as what callers send: the inputs have a name before them.
      guard let body = redactor.body(Self.inputs(input), isJSON: true) else { return nil }
      self.body = body.bytes
      head.isRedacted = body.isChanged
    case .proxy(let bytes, let body):
      guard let parsed = RequestHead(bytes) else { return nil }
      let type = parsed.fields.first { $0.name.lowercased() == "content-type" }?.value ?? ""
      guard let clean = redactor.body(body, isJSON: AnswerComparer.bare(type).hasSuffix("json")) else {
        return nil
      }
      let (own, isChanged) = redactor.head(parsed.copy(requestID: copy.requestID))
      self.body = clean.bytes
      head.head = String(decoding: own.bytes, as: UTF8.self)
      head.isRedacted = clean.isChanged || isChanged
    }
    head.bodyCount = body.count
    self.head = head
    self.answer = found.body
  }

  private static func inputs(_ input: [UInt8]) -> [UInt8] { Array("{\"input\":".utf8) + input + [0x7d] }

  var id: String { head.id }
  var at: Timestamp { Timestamp(microseconds: head.at) }
  /// The node can't answer it as it did: something was taken out of it.
  var isRedacted: Bool { head.isRedacted }
  var compared: ComparedAnswer {
    ComparedAnswer(
      status: head.status, contentType: head.contentType, body: answer, microseconds: head.microseconds)
  }

  /// The request as it is sent again; nil when it can't be read.
  func request(requestID: String) -> NodeCall.Content? {
    if let text = head.head {
      return NodeCall.Content.proxy(head: Array(text.utf8), body: body).copy(requestID: requestID)
    }
    guard let members = try? JSONMembers.slice(body), let input = members.first(where: { $0.name == "input" })
    else { return nil }
    return .execute(input: Array(body[input.value]))
  }

  // MARK: Bytes

  /// The length of what stands before the bodies (32 bits), that as JSON, the bodies.
  func encoded() -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    guard let front = try? encoder.encode(head) else { return [] }
    var bytes: [UInt8] = []
    for shift in stride(from: 0, to: 32, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: front.count >> shift))
    }
    return bytes + Array(front) + body + answer
  }

  init?(decoding bytes: [UInt8]) {
    guard bytes.count >= 4 else { return nil }
    var count = 0
    for index in 0..<4 { count |= Int(bytes[index]) << (8 * index) }
    guard 4 + count <= bytes.count,
      let head = try? JSONDecoder().decode(Head.self, from: Data(bytes[4..<(4 + count)])),
      head.bodyCount >= 0, 4 + count + head.bodyCount <= bytes.count
    else { return nil }
    self.head = head
    body = Array(bytes[(4 + count)..<(4 + count + head.bodyCount)])
    answer = Array(bytes[(4 + count + head.bodyCount)...])
  }
}
