internal import Domain
public import Wire

extension NodeContract {
  /// The node as a model of the Open Inference Protocol v2, or why it can't be one.
  public var openInference: Result<JSONValue, OpenInferenceMisfit> {
    do throws(OpenInferenceMisfit) {
      return .success([
        "name": .string(nodeName), "versions": [.string(String(release))], "platform": "roost-cell",
        "inputs": .array(try inputs.map(Self.tensor)), "outputs": .array(try outputs.map(Self.tensor)),
      ])
    } catch { return .failure(error) }
  }

  private static func tensor(_ field: Field) throws(OpenInferenceMisfit) -> JSONValue {
    guard let (datatype, shape) = field.type.openInference else {
      throw OpenInferenceMisfit(variable: field.name, declared: field.declared.rawValue)
    }
    return [
      "name": .string(field.name), "datatype": .string(datatype),
      "shape": .array(shape.map { .integer(Int64($0)) }),
    ]
  }
}

/// A variable that no tensor can carry.
public struct OpenInferenceMisfit: Error, Sendable, Equatable, CustomStringConvertible {
  public var variable: String
  public var declared: String

  public var description: String {
    "\(variable) (\(declared)) has no form in the Open Inference Protocol; only numbers, bool, str, bytes and arrays of numbers whose dtype the checkpoint shows do"
  }
}

extension ContractType {
  /// Datatype and shape; -1 for a length that may vary: the first one of an array.
  var openInference: (datatype: String, shape: [Int])? {
    switch self {
    case .text, .bytes, .image: return ("BYTES", [1])
    case .integer: return ("INT64", [1])
    case .number: return ("FP64", [1])
    case .boolean: return ("BOOL", [1])
    case .tensor(let tensor):
      guard let element = tensor.element, let shape = tensor.shape, !shape.isEmpty else { return nil }
      return (element.openInferenceName, [-1] + shape.dropFirst())
    case .object, .list, .time, .any, .table: return nil
    }
  }
}
