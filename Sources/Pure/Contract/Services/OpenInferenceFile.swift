extension ProtoFile {
  /// The service of the Open Inference Protocol, version 2: what a cell node has of it.
  public static let openInference: ProtoFile = {
    let parameters = FieldType.map(.message("inference.InferParameter"))
    func named(_ message: String) -> Message {
      Message(message, [Field("name", 1, .string), Field("version", 2, .string)])
    }
    func tensor(_ message: String, contents: Bool) -> Message {
      var fields = [
        Field("name", 1, .string), Field("datatype", 2, .string), Field("shape", 3, .int64, .repeated),
      ]
      if contents {
        fields.append(Field("parameters", 4, parameters))
        fields.append(Field("contents", 5, .message("inference.InferTensorContents")))
      }
      return Message(message, fields)
    }
    return ProtoFile(
      "inference/open_inference.proto", package: "inference",
      messages: [
        Message("ServerLiveRequest"), Message("ServerLiveResponse", [Field("live", 1, .bool)]),
        Message("ServerReadyRequest"), Message("ServerReadyResponse", [Field("ready", 1, .bool)]),
        named("ModelReadyRequest"), Message("ModelReadyResponse", [Field("ready", 1, .bool)]),
        Message("ServerMetadataRequest"),
        Message(
          "ServerMetadataResponse",
          [
            Field("name", 1, .string), Field("version", 2, .string),
            Field("extensions", 3, .string, .repeated),
          ]),
        named("ModelMetadataRequest"), tensor("TensorMetadata", contents: false),
        Message(
          "ModelMetadataResponse",
          [
            Field("name", 1, .string), Field("versions", 2, .string, .repeated),
            Field("platform", 3, .string),
            Field("inputs", 4, .message("inference.TensorMetadata"), .repeated),
            Field("outputs", 5, .message("inference.TensorMetadata"), .repeated),
          ]),
        Message(
          "InferParameter",
          [
            Field("bool_param", 1, .bool, oneof: "parameter_choice"),
            Field("int64_param", 2, .int64, oneof: "parameter_choice"),
            Field("string_param", 3, .string, oneof: "parameter_choice"),
          ]),
        Message(
          "InferTensorContents",
          [
            Field("bool_contents", 1, .bool, .repeated), Field("int_contents", 2, .int32, .repeated),
            Field("int64_contents", 3, .int64, .repeated), Field("uint_contents", 4, .uint32, .repeated),
            Field("uint64_contents", 5, .uint64, .repeated), Field("fp32_contents", 6, .float, .repeated),
            Field("fp64_contents", 7, .double, .repeated), Field("bytes_contents", 8, .bytes, .repeated),
          ]),
        tensor("InferInputTensor", contents: true), tensor("InferOutputTensor", contents: true),
        Message(
          "InferRequestedOutputTensor", [Field("name", 1, .string), Field("parameters", 2, parameters)]),
        Message(
          "ModelInferRequest",
          [
            Field("model_name", 1, .string), Field("model_version", 2, .string), Field("id", 3, .string),
            Field("parameters", 4, parameters),
            Field("inputs", 5, .message("inference.InferInputTensor"), .repeated),
            Field("outputs", 6, .message("inference.InferRequestedOutputTensor"), .repeated),
            Field("raw_input_contents", 7, .bytes, .repeated),
          ]),
        Message(
          "ModelInferResponse",
          [
            Field("model_name", 1, .string), Field("model_version", 2, .string), Field("id", 3, .string),
            Field("parameters", 4, parameters),
            Field("outputs", 5, .message("inference.InferOutputTensor"), .repeated),
            Field("raw_output_contents", 6, .bytes, .repeated),
          ]),
      ],
      services: [
        Service(
          "GRPCInferenceService",
          ["ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer"].map {
            Method($0, "inference.\($0)Request", "inference.\($0)Response")
          }, comment: "Cell nodes as models of the Open Inference Protocol.")
      ])
  }()
}
