/// The items of one JSON array, each as the place of its text.
public enum JSONItems {
  /// Items in their order. Throws when the text is not one strict JSON array.
  public static func slice(_ bytes: [UInt8]) throws(JSONError) -> [Range<Int>] {
    try bytes.withUnsafeBufferPointer { (buffer) throws(JSONError) in
      guard let base = buffer.baseAddress, buffer.count > 0 else {
        throw JSONError(offset: 0, reason: "the text is empty; send a JSON array")
      }
      var scanner = JSONScanner(base: base, count: buffer.count)
      var items: [Range<Int>] = []
      scanner.skipSpace()
      guard scanner.byte == 0x5b else { throw scanner.fail(scanner.expected("an array")) }
      try scanner.enter()
      if scanner.byte != 0x5d {
        repeat {
          let start = scanner.at
          try scanner.skipValue()
          items.append(start..<scanner.at)
        } while try scanner.more(until: 0x5d)
      }
      scanner.leave()
      try scanner.expectEnd()
      return items
    }
  }
}
