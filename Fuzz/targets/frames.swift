/// libFuzzer's entry: see FuzzProperties.frames.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  FuzzProperties.frames(Array(UnsafeBufferPointer(start: data, count: count)))
  return 0
}
