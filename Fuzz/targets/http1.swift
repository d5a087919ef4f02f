/// libFuzzer's entry: see FuzzProperties.http1.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  FuzzProperties.http1(Array(UnsafeBufferPointer(start: data, count: count)))
  return 0
}
