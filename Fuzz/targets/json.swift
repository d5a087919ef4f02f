/// libFuzzer's entry: see FuzzProperties.json.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  FuzzProperties.json(Array(UnsafeBufferPointer(start: data, count: count)))
  return 0
}
