/// libFuzzer's entry: see FuzzProperties.pattern.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  FuzzProperties.pattern(Array(UnsafeBufferPointer(start: data, count: count)))
  return 0
}
