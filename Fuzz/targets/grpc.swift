/// libFuzzer's entry: see FuzzProperties.grpc.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  FuzzProperties.grpc(Array(UnsafeBufferPointer(start: data, count: count)))
  return 0
}
