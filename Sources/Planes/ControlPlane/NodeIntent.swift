public import Domain
import DriverAPI
import FoundationEssentials

/// What is stored of a node's wish: its spec, the number of resets asked for, and an example request.
public struct NodeIntent: Sendable, Codable, Equatable {
  public var spec: NodeSpec
  /// Rises with every reset; instances of older epochs are replaced.
  public var epoch: Int
  /// Inputs for one request, a JSON object: made with the node, of its checkpoint's values and its types.
  public var example: String?
  /// How the environment differs from the notebook's, as it was told when the node was made.
  public var differences: [String]?

  public init(spec: NodeSpec, epoch: Int = 0, example: String? = nil, differences: [String]? = nil) {
    self.differences = differences
    self.spec = spec
    self.epoch = epoch
    self.example = example
  }
}

/// What is stored of an instance, beside its status.
struct InstanceMemo: Codable {
  var handle: InstanceHandle
  var epoch: Int
  /// The place that it takes; only of address nodes.
  var slot: String?
}

/// JSON of stored values. Sorted keys, so that equal values are equal texts.
public enum StoredJSON {
  public static func text(_ value: some Encodable) throws(PlatformError) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do { return String(decoding: try encoder.encode(value), as: UTF8.self) } catch {
      throw PlatformError(.internal, "a value could not be stored as JSON", cause: error)
    }
  }

  public static func value<Value: Decodable>(_ type: Value.Type, from text: String) throws(PlatformError)
    -> Value
  {
    try value(type, from: Array(text.utf8))
  }

  public static func value<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws(PlatformError)
    -> Value
  {
    do { return try JSONDecoder().decode(type, from: Data(bytes)) } catch {
      throw PlatformError(.dataLoss, "stored JSON can't be read as \(type)", cause: error)
    }
  }
}
