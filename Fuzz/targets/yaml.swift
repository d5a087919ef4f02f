import YAMLText

/// libFuzzer's entry: whatever a file holds, it is read or refused with a place in it, and its JSON reads as the same again.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = Array(UnsafeBufferPointer(start: data, count: count))
  do throws(YAMLError) {
    for node in try YAMLReader.documents(bytes) {
      precondition(node.mark.line >= 1 && node.mark.column >= 1)
      _ = node.place(of: "a.b[1].c")
      let json = node.json
      guard json.unicodeScalars.allSatisfy({ (0x20...0x7e).contains($0.value) }) else { continue }
      guard let again = try? YAMLReader.documents(Array(json.utf8)).first else { continue }
      precondition(again.json == json, "\(json)\n\(again.json)")
    }
  } catch { precondition(error.mark.line >= 1 && error.mark.column >= 1 && !error.message.isEmpty) }
  return 0
}
