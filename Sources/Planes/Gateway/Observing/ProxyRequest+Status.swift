internal import CLinux
internal import Wire

/// The status of a proxied call of gRPC, for who counts it.
extension ProxyRequest {
  private static var name: StaticString { "grpc-status" }

  /// Looks into the head of an answer: an answer of trailers alone has the status there.
  func noteStatus(_ base: UnsafePointer<UInt8>, _ fields: UnsafeMutablePointer<HTTP1Field>, _ count: Int) {
    for index in 0..<count where fields[index].nameCount == 11 {
      let name = base + Int(fields[index].nameStart)
      guard scan_equals_lower(name, Self.name.utf8Start, 11) != 0 else { continue }
      grpcStatus = Self.number(base + Int(fields[index].valueStart), Int(fields[index].valueCount))
    }
  }

  /// Looks into trailers: lines that end in CR LF.
  func noteStatus(trailers: UnsafeBufferPointer<UInt8>) {
    guard let base = trailers.baseAddress else { return }
    var start = 0
    while start + 12 < trailers.count {
      var end = start
      while end < trailers.count, base[end] != 0x0d { end += 1 }
      if end - start > 12, base[start + 11] == 0x3a,
        scan_equals_lower(base + start, Self.name.utf8Start, 11) != 0
      {
        var value = start + 12
        while value < end, base[value] == 0x20 { value += 1 }
        grpcStatus = Self.number(base + value, end - value)
        return
      }
      start = end + 2
    }
  }

  /// -1 for what is no status.
  private static func number(_ base: UnsafePointer<UInt8>, _ count: Int) -> Int {
    guard (1...2).contains(count) else { return -1 }
    var value = 0
    for index in 0..<count {
      guard (0x30...0x39).contains(base[index]) else { return -1 }
      value = value * 10 + Int(base[index] - 0x30)
    }
    return value
  }
}
