public import Domain

/// What a node of saved models takes and gives, by model: what its JSON view, its OpenAPI document, its `.proto` and its typed
/// gRPC services are made of.
public struct ModelNodeContract: Sendable, Equatable {
  /// An input or output of a model.
  public struct Field: Sendable, Equatable {
    /// The tensor's name: also the name in JSON.
    public var name: String
    var datatype: InferenceDatatype
    /// -1: any length.
    public var shape: [Int]
    /// The field of the message of inputs or outputs.
    public var protoName: String
    /// From 1, in the order of the signature.
    public var number: Int

    /// As the command line writes it: `x:FP32[-1,8]`.
    public var text: String { "\(name):\(datatype.rawValue)\(InferenceTensor.text(shape))" }
  }

  /// One of the saved models that are served under a name.
  public struct Version: Sendable, Equatable {
    public var number: Int
    public var id: String
  }

  /// One model of the node, with all its versions.
  public struct Model: Sendable, Equatable {
    public var name: String
    /// The lowest first: the last answers requests that name none.
    public var versions: [Version]
    public var inputs: [Field]
    public var outputs: [Field]
    /// The model's part of the names of messages and of its service; empty: the node has no other model.
    var prefix: String
  }

  public var nodeID: String
  public var nodeName: String
  public var release: Int
  public var models: [Model]

  /// Models of whose tensors one has a datatype that is not known here are left out.
  public init(nodeID: String, nodeName: String, release: Int, models: [RoutedModel]) {
    self.nodeID = nodeID
    self.nodeName = nodeName
    self.release = release
    var names: [String] = []
    for model in models where !names.contains(model.name) { names.append(model.name) }
    let prefixes = Self.prefixes(names)
    self.models = names.enumerated().compactMap { index, name in
      let versions = models.filter { $0.name == name }.sorted { ($0.version ?? 1) < ($1.version ?? 1) }
      // All versions have the same inputs and outputs, in the order of the one that answers by default.
      guard let model = versions.last, let inputs = Self.fields(model.inputs),
        let outputs = Self.fields(model.outputs)
      else { return nil }
      return Model(
        name: name, versions: versions.map { Version(number: $0.version ?? 1, id: $0.id) }, inputs: inputs,
        outputs: outputs, prefix: names.count == 1 ? "" : prefixes[index])
    }
  }

  private static func fields(_ tensors: [ModelTensor]) -> [Field]? {
    let names = ProtoNames.fields(tensors.map(\.name))
    var fields: [Field] = []
    for (index, tensor) in tensors.enumerated() {
      guard let datatype = InferenceDatatype(rawValue: tensor.datatype) else { return nil }
      fields.append(
        Field(
          name: tensor.name, datatype: datatype, shape: tensor.shape, protoName: names[index],
          number: index + 1))
    }
    return fields
  }

  /// `my-model` → `MyModel`; names that would be one are told apart by their place.
  private static func prefixes(_ names: [String]) -> [String] {
    var taken: Set<String> = []
    return names.enumerated().map { index, name in
      let words = name.split { !($0.isASCII && ($0.isLetter || $0.isNumber)) }
      let joined = words.map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
      let plain = joined.first?.isLetter == true ? joined : "Model\(joined)"
      // `Node` and `TextTensor` are names of the file's own.
      let isFree = plain != "Node" && !plain.hasSuffix("Tensor") && taken.insert(plain).inserted
      if isFree { return plain }
      let other = "Model\(index + 1)"
      taken.insert(other)
      return other
    }
  }

  /// Package of the node's `.proto`.
  public var package: String { "roost.nodes.\(ProtoNames.packagePart(nodeName))" }

  /// Full names of the typed gRPC services: `Node` of a node with one model, else one for each.
  public var serviceNames: [String] { models.map(service) }

  func service(_ model: Model) -> String { "\(package).\(model.prefix.isEmpty ? "Node" : model.prefix)" }

  /// The model of a service, as its place.
  public func model(service name: String) -> Int? { models.firstIndex { service($0) == name } }

  /// Names of the models, for messages.
  var names: String { models.map(\.name).joined(separator: ", ") }
}

extension ModelNodeContract.Model {
  /// Requests may name a version: `iris:2`.
  var hasVersions: Bool { versions.count > 1 || versions.first?.number != 1 }

  /// `2, the highest of 1, 2`
  var defaultVersion: String {
    let numbers = versions.map { String($0.number) }
    return "\(numbers.last ?? ""), the highest of \(numbers.joined(separator: ", "))"
  }

  /// All names by which a request may call it.
  var titles: [String] { [name] + (hasVersions ? versions.map { "\(name):\($0.number)" } : []) }
}

extension ModelNodeContract.Field {
  /// Like `[[0.5,0.5]]`: the least that fits.
  var form: String {
    var text = datatype.sampleText
    for length in shape.reversed() {
      let count = max(length, 1)
      text = count == 1 ? "[\(text)]" : count == 2 ? "[\(text),\(text)]" : "[\(text),... (\(count))]"
    }
    return text
  }
}

extension InferenceDatatype {
  var sampleText: String {
    switch self {
    case .bool: "true"
    case .fp16, .fp32, .fp64: "0.5"
    case .bytes: "\"text\""
    default: "1"
    }
  }

  var isFloating: Bool { self == .fp16 || self == .fp32 || self == .fp64 }
  var isSigned: Bool { self == .int8 || self == .int16 || self == .int32 || self == .int64 }

  /// The type of array that has such items; nil: texts.
  var element: TensorElement? { TensorElement.allCases.first { $0.datatype == self } }
}
