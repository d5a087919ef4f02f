import Domain
import Wire

/// Bodies of the management API: strict JSON in which every field is known.
enum StrictBody {
  static func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws(PlatformError) -> Value
  {
    guard !bytes.isEmpty else {
      throw PlatformError(.invalidArgument, "body: empty; send a JSON object", origin: .caller)
    }
    do throws(JSONFieldError) { return try JSONDecoderStrict.decode(type, from: bytes) } catch {
      throw .invalid(error.field, error.message)
    }
  }
}
