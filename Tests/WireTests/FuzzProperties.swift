import Wire

/// What must hold for any bytes. The fuzzers run these, and a test replays the committed corpora through them.
enum FuzzProperties {
  /// A head is refused or its places lie inside it; a body is the same at every cut.
  static func http1(_ bytes: [UInt8]) {
    let fields = UnsafeMutablePointer<HTTP1Field>.allocate(capacity: HTTP1Head.maximumFields)
    defer { fields.deallocate() }
    bytes.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress, let end = HTTP1Head.end(base, buffer.count, from: 0) else {
        return
      }
      precondition(end <= buffer.count)
      guard let head = try? HTTP1Head.parseRequest(base, end, fields) else { return }
      precondition(Int(head.length) == end && !(head.isChunked && head.contentLength >= 0))
      precondition(head.minorVersion == 0 || head.host >= 0)
      for index in 0..<Int(head.fieldCount) {
        let field = fields[index]
        precondition(field.nameCount > 0 && Int(field.valueStart + field.valueCount) <= end - 2)
      }
      guard head.isChunked else { return }
      let body = Array(buffer[end...])
      let whole = chunks(body, step: max(body.count, 1))
      precondition(chunks(body, step: 1) == whole && chunks(body, step: 3) == whole)
    }
    _ = try? HTTP1ResponseHead.parse(bytes[...])
  }

  private enum Decoded: Equatable {
    case refused(HTTP1Fault)
    case partial([UInt8])
    case whole([UInt8])
  }

  private static func chunks(_ bytes: [UInt8], step: Int) -> Decoded {
    var decoder = ChunkedDecoder()
    var out: [UInt8] = []
    var start = 0
    while start < bytes.count {
      let piece = Array(bytes[start..<min(start + step, bytes.count)])
      start += step
      let end: Decoded? = piece.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return nil }
        var at = 0
        do throws(HTTP1Fault) {
          while true {
            switch try decoder.next(base, buffer.count, at: &at) {
            case .data(let range): out += buffer[range]
            case .end: return .whole(out)
            case .needMore: return nil
            }
          }
        } catch { return .refused(error) }
      }
      if let end { return end }
    }
    return .partial(out)
  }

  /// What the slicer accepts, the full parser accepts but for deeper duplicates; and it finds the same parts.
  static func json(_ bytes: [UInt8]) {
    let tree = Result { () throws(JSONError) in try JSONValue(parsing: bytes) }
    if case .success(let value) = tree {
      precondition((try? JSONValue(parsing: value.bytes)) == value)
    }
    guard let slices = try? JSONSlicer.slice(bytes) else { return }
    switch tree {
    case .success(let value):
      guard case .object = value else { preconditionFailure("an envelope is an object") }
      precondition((slices.input != nil) == (value["input"] != nil))
      if let input = slices.input {
        precondition((try? JSONValue(parsing: Array(bytes[input]))) == value["input"])
      }
    case .failure(let error):
      precondition(!slices.isPlain, "every parser reads plain inputs alike")
      precondition(error.reason.contains("given twice") || error.reason.contains("out of range"))
    }
  }

  /// A header of the PROXY protocol is refused or ends where it says; ranges of addresses hold their own address.
  static func network(_ bytes: [UInt8]) {
    if bytes.count >= ProxyHeader.fixedBytes {
      bytes.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress, let length = try? ProxyHeader.length(base) else { return }
        precondition((ProxyHeader.fixedBytes...ProxyHeader.maximumBytes).contains(length))
        guard length <= buffer.count else { return }
        let header = try? ProxyHeader(base, length)
        precondition(base[12] & 15 == 1 || header?.source == .connection)
      }
    }
    let text = String(decoding: bytes.prefix(200), as: UTF8.self)
    if let address = NetworkAddress(text) {
      precondition(NetworkRange(text)?.contains(address) == true)
      precondition(NetworkRange(text.contains(":") ? "::/0" : "0.0.0.0/0")?.contains(address) == true)
    }
    if let slash = text.firstIndex(of: "/"), let range = NetworkRange(text) {
      precondition(NetworkAddress(text[..<slash]).map(range.contains) == true)
    }
    if let peers = try? NetworkPeers(list: text) { precondition(!peers.ranges.isEmpty || peers.includesUnix) }
  }

  /// Frames are taken off the front without losing bytes, and written back as they were.
  static func frames(_ bytes: [UInt8]) {
    var rest = bytes
    var taken: [UInt8] = []
    while let frame = try? Frame.take(from: &rest, maximumPayload: 1 << 20) { taken += frame.bytes }
    precondition(taken + rest == bytes)
  }

  /// What is read as a JSON value is written back to bytes that are read as the same; a status keeps its meaning.
  static func protobuf(_ bytes: [UInt8]) {
    for shape in [DynamicValue.Shape.object, .list, .value] {
      guard let text = try? DynamicValue.json(shape, from: bytes, path: "", maximumBytes: 1 << 20) else {
        continue
      }
      guard let again = try? DynamicValue.encoded(shape, json: text, path: ""),
        let back = try? DynamicValue.json(shape, from: again, path: "")
      else { preconditionFailure("what was written is not read") }
      precondition(back == text)
    }
    if let encoded = try? DynamicValue.encoded(.value, json: bytes, path: "") {
      precondition((try? DynamicValue.json(.value, from: encoded, path: "")) != nil)
    }
    if let status = try? RPCStatus(bytes) { precondition((try? RPCStatus(status.bytes)) == status) }
  }

  /// Messages are the same at every cut of the body; the texts of headers are read or refused.
  static func grpc(_ bytes: [UInt8]) {
    func messages(_ step: Int) -> ([[UInt8]], GRPCFault?) {
      var decoder = GRPCMessageDecoder(limit: 2048)
      var out: [[UInt8]] = []
      do throws(GRPCFault) {
        for start in stride(from: 0, to: bytes.count, by: step) {
          decoder.feed(bytes[start..<min(start + step, bytes.count)])
          while let message = try decoder.next() { out.append(message) }
        }
        try decoder.finish()
      } catch { return (out, error) }
      return (out, nil)
    }
    bytes.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress,
        let plain = try? GRPCEncoding.gzip.unpackedBody(base, buffer.count, limit: 4096)
      else { return }
      var decoder = GRPCMessageDecoder(limit: 4096, encoding: .gzip)
      decoder.feed(bytes)
      var again: [UInt8] = []
      while let message = try? decoder.next() { again += GRPCFrameHead.framed(message) }
      precondition(again == plain)
    }
    let whole = messages(max(bytes.count, 1))
    for step in [1, 3] { precondition(messages(step) == whole) }
    if whole.1 == nil { precondition(whole.0.flatMap { GRPCFrameHead.framed($0) } == bytes) }
    _ = GRPCTimeout.nanoseconds(bytes)
    let text = String(decoding: bytes.prefix(1000), as: UTF8.self)
    let encoded = GRPCMessageText.encoded(text)
    precondition(encoded.utf8.allSatisfy { (0x20...0x7e).contains($0) })
    precondition(text.hasPrefix(GRPCMessageText.decoded(encoded)))
    if let plain = Base64.decoded(bytes) {
      precondition(Base64.decoded(Base64.encoded(plain, padded: false).utf8) == plain)
    }
  }

  /// Metrics that were read are written as a text that reads as the same, with labels of the platform too.
  static func exposition(_ bytes: [UInt8]) {
    let limits = ExpositionText.Limits(samples: 200, labels: 8)
    guard let first = try? ExpositionText.read(bytes, limits: limits) else { return }
    precondition(first.sampleCount <= 200)
    func written(_ families: [MetricFamily], _ labels: [MetricLabel]) -> [UInt8] {
      var merge = ExpositionMerge()
      let leftOut = merge.add(ExpositionPart(families, adding: labels))
      precondition(leftOut == 0, "what was read as one text can stand in one")
      return merge.text
    }
    for labels in [[], [MetricLabel("a", "x\"\\\n"), MetricLabel("node_id", "n")]] {
      let text = written(first.families, labels)
      guard let second = try? ExpositionText.read(text) else { preconditionFailure("it is not read again") }
      precondition(second.repeated == 0 && written(second.families, []) == text)
    }
  }
}
