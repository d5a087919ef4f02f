internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Wire

/// Copies of aliases' requests for mirrors and recordings. None of it is on the way of a request that is not copied.
extension GatewayLoop {
  private func capture(_ choice: AliasChoice, requestID: String) -> Capture? {
    guard let copying = choice.alias.routed.copying else { return nil }
    let forMirror = Int(nextRandom() % 10_000) < copying.mirrorPermyriad
    let forRecording = Int(nextRandom() % 10_000) < copying.recordPermyriad
    guard forMirror || forRecording else { return nil }
    return Capture(
      choice.alias.shared, node: choice.node.entry.routed.id, requestID: requestID,
      most: copying.mostBodyBytes, forMirror: forMirror, forRecording: forRecording, shared.copies,
      sink: shared.captured)
  }

  /// An execute request of an alias begins.
  func copy(_ request: ExecuteRequest, _ input: UnsafePointer<UInt8>, _ count: Int) {
    guard let choice = request.choice, let capture = capture(choice, requestID: request.identifierText)
    else { return }
    capture.add(body: input, count)
    request.witness = capture
  }

  /// A request of an alias to a server begins; its head for the instance is written.
  func copy(_ request: ProxyRequest) {
    guard let choice = request.choice else { return }
    var name: [UInt8] = []
    for index in 0..<request.identifierCount { name.append(request.identifier[index]) }
    guard let capture = capture(choice, requestID: String(decoding: name, as: UTF8.self)) else { return }
    if request.isGRPC || request.asksUpgrade { return capture.giveUp(\.notCopyable) }
    capture.add(head: request.head.bytes)
    request.capture = capture
  }

  /// The head of a server's answer has come.
  func copy(_ request: ProxyRequest, _ capture: Capture, answer fields: ProxyFields) {
    if request.isEventStream { return capture.giveUp(\.notCopyable) }
    func text(_ name: [UInt8]) -> String {
      for index in 0..<fields.count where fields.isNamed(index, name) {
        return String(decoding: fields.value(index), as: UTF8.self)
      }
      return ""
    }
    capture.began(
      status: request.status, contentType: text(Self.contentTypeName),
      contentEncoding: text(Self.contentEncodingName))
  }

  private static let contentTypeName = Array("content-type".utf8)
  private static let contentEncodingName = Array("content-encoding".utf8)

  /// A server's answer is complete.
  func copied(_ request: ProxyRequest, _ capture: Capture) {
    guard request.requestEnded || request.framing == .none else { return capture.giveUp(\.notCopyable) }
    capture.ended(microseconds: Int((loop.clock() - request.dispatched) / 1000))
  }
}
