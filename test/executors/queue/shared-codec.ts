/**
 * A codec for workers in this process: what structured clone can carry, and shared memory as well, by a number that only this process
 * knows. With it the conformance suite, which looks into its jobs through shared memory, runs on queues.
 */
import { Deserializer, Serializer } from "node:v8";
import type { JobCodec } from "../../../src/executors/index.ts";

const views: ArrayBufferView[] = [];

// Node calls these methods; its types do not declare them.
class SharingSerializer extends Serializer {
  constructor() {
    super();
    (
      this as unknown as { _setTreatArrayBufferViewsAsHostObjects(flag: boolean): void }
    )._setTreatArrayBufferViewsAsHostObjects(true);
  }
  _writeHostObject(view: ArrayBufferView): void {
    const kept = view.buffer instanceof SharedArrayBuffer ? view : structuredClone(view);
    this.writeUint32(views.push(kept) - 1);
  }
  get _getDataCloneError(): unknown {
    return function cloneError(message: string): Error {
      return new DOMException(message, "DataCloneError");
    };
  }
}

class SharingDeserializer extends Deserializer {
  _readHostObject(): unknown {
    return views[this.readUint32()];
  }
}

export const sharedCodec: JobCodec = {
  name: "shared",
  encode(value) {
    const serializer = new SharingSerializer();
    serializer.writeHeader();
    serializer.writeValue(value);
    return serializer.releaseBuffer().toString("base64");
  },
  decode(text) {
    const deserializer = new SharingDeserializer(Buffer.from(text, "base64"));
    deserializer.readHeader();
    return deserializer.readValue() as unknown;
  },
};
